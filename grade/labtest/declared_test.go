package labtest

import "testing"

// TestAsDeclared compares scores with what authors copy from reports: 58 of 72 points are 80.555…, shown as 80.55.
func TestAsDeclared(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		declared, shown, exact float64
		want                   bool
	}{
		{80.55, 80.55, 5800.0 / 72, true},
		{80.56, 80.55, 5800.0 / 72, true},
		{80.57, 80.55, 5800.0 / 72, false},
		{80.54, 80.55, 5800.0 / 72, false},
		{33.33, 33.33, 100.0 / 3, true},
		{100, 100, 100, true},
		{99.99, 100, 100, false},
		{0, 0, 0, true},
	} {
		if got := asDeclared(tt.declared, tt.shown, tt.exact); got != tt.want {
			t.Errorf("declared %v, shown %v, exact %v: %v", tt.declared, tt.shown, tt.exact, got)
		}
	}
}
