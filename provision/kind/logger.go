package kind

import (
	"fmt"
	"log/slog"
	"strings"

	"sigs.k8s.io/kind/pkg/log"
)

// logger writes kind's messages to the log. Users see its errors.
type logger struct{ log *slog.Logger }

func (l logger) Warn(message string)            { l.log.Debug(message, "from", "kind") }
func (l logger) Warnf(format string, a ...any)  { l.Warn(fmt.Sprintf(format, a...)) }
func (l logger) Error(message string)           { l.log.Debug(message, "from", "kind") }
func (l logger) Errorf(format string, a ...any) { l.Error(fmt.Sprintf(format, a...)) }
func (l logger) V(level log.Level) log.InfoLogger {
	return infoLogger{l.log, level}
}

type infoLogger struct {
	log   *slog.Logger
	level log.Level
}

func (l infoLogger) Enabled() bool { return l.level <= 1 }
func (l infoLogger) Info(message string) {
	if l.Enabled() {
		l.log.Debug(strings.TrimSpace(message), "from", "kind")
	}
}
func (l infoLogger) Infof(format string, a ...any) { l.Info(fmt.Sprintf(format, a...)) }
