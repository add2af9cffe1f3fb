package faultpoint

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"firedrill/drills/timeline"
)

func TestRingKeepsTheNewestAndCountsWhatItDropped(t *testing.T) {
	t.Parallel()
	r := &ring{size: 3}
	for i := range 5 {
		assert.Equal(t, uint64(i), r.put(timeline.Exchange{ID: fmt.Sprint(i)}))
	}
	r.amend(1, func(x *timeline.Exchange) { x.ID = "long gone" })
	r.amend(4, func(x *timeline.Exchange) { x.Billed = true })
	page, dropped := r.page(1, 10)
	assert.Equal(t, uint64(1), dropped)
	assert.Equal(t, []Logged{
		{2, timeline.Exchange{ID: "2"}}, {3, timeline.Exchange{ID: "3"}}, {4, timeline.Exchange{ID: "4", Billed: true}},
	}, page)
	page, dropped = r.page(3, 1)
	assert.Zero(t, dropped)
	assert.Equal(t, []Logged{{3, timeline.Exchange{ID: "3"}}}, page)
	page, _ = r.page(5, 10)
	assert.Empty(t, page)
}
