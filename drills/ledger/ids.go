package ledger

import "fmt"

// String returns "writer:sequence".
func (id ID) String() string { return fmt.Sprintf("%d:%d", id.Writer, id.Seq) }

// Range is a stretch of one writer's ids, both ends included, From <= To.
type Range struct {
	Writer uint16
	From   uint64
	To     uint64
}

// Len returns how many ids the range holds.
func (r Range) Len() uint64 { return r.To - r.From + 1 }

// String returns "writer:from-to", or "writer:sequence" for a single id.
func (r Range) String() string {
	if r.From == r.To {
		return ID{r.Writer, r.From}.String()
	}
	return fmt.Sprintf("%d:%d-%d", r.Writer, r.From, r.To)
}
