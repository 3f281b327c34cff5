package class

import (
	"os"
	"runtime/debug"
	"runtime/metrics"

	"github.com/labctl/labctl/grade/batch"
)

const (
	leastMemory = 160 << 20 // in bytes, below which garbage costs nothing
	besideHeap  = 64 << 20  // stacks and the like, in bytes
	lookEvery   = 1024      // results
)

// LimitMemory reports, and keeps the memory of a run near what it uses. That garbage is collected rarely (see main)
// saves a short command much of its time, but with the index of a large class in memory it would be four times as much
// again. Nobody's own GOGC or GOMEMLIMIT is changed.
func LimitMemory(report func(batch.Progress)) func(batch.Progress) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return report
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}} // what the last collection left
	calls := 0
	return func(p batch.Progress) {
		if calls%lookEvery == 0 {
			metrics.Read(live)
			if v := live[0].Value; v.Kind() == metrics.KindUint64 {
				// With much less it would be collecting all the time.
				debug.SetMemoryLimit(max(leastMemory, 2*int64(v.Uint64())+besideHeap))
			}
		}
		calls++
		report(p)
	}
}
