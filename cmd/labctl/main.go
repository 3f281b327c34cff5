// Command labctl builds Kubernetes networking labs and grades what students make of them.
//
// The commands are thin: each parses its flags, calls a package, and hands the result to a view.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/cmd/labctl/internal/cluster"
)

func main() {
	// Most commands end before their garbage amounts to anything; collecting it early is a fifth of their time.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	os.Exit(run())
}

func run() int {
	// What client-go logs (a connection that was closed, mostly on purpose) would stand between our own lines;
	// what matters comes back as errors. The logger is the process's: it has to be set before anybody logs.
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal cancels the context, so that commands end in order; from then on a second one
	// finds the default handler, which ends the process at once.
	context.AfterFunc(ctx, stop)

	app := cli.NewApp(ctx)
	app.Labs = cluster.Labs{App: app}
	app.Failure = describeFailure
	root := newRootCommand(app)
	cmd, err := root.ExecuteContextC(ctx)
	return end(app, cmd, err)
}
