package batch

import (
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/submission"
)

// DefaultLimits are the limits of one submission: those of labctl grade, too.
func DefaultLimits() manifest.Limits { return submission.DefaultLimits() }

func (c *Config) limits() manifest.Limits { return submission.Limits(c.Limits) }
