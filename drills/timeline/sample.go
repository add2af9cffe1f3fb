package timeline

// Class is the outcome of a sample.
type Class string

// The outcome classes. Every class but OK and NoData means that the service was
// not usable for this client.
const (
	OK          Class = "ok"
	Refused     Class = "refused"      // connection refused
	Reset       Class = "reset"        // connection cut
	Timeout     Class = "timeout"      // no answer within the sample's deadline
	Unreachable Class = "unreachable"  // no route, host or network unreachable
	DNS         Class = "dns"          // the name did not resolve
	TLS         Class = "tls"          // the handshake failed
	Auth        Class = "auth"         // credentials or privileges refused
	ReadOnly    Class = "read-only"    // the server refuses writes
	Error       Class = "error"        // the server answered with an error
	WrongAnswer Class = "wrong-answer" // the answer is not the expected one
	Lagging     Class = "lagging"      // the answer is older than allowed
	RateLimited Class = "rate-limited" // the service refuses more requests for now (429)
	Truncated   Class = "truncated"    // the answer broke off, but looks like a success
	NoData      Class = "no-data"      // the runner could not look: says nothing about the service
)

// Good tells whether the service answered as it should.
func (c Class) Good() bool { return c == OK }

// Bad tells whether the service was seen not to answer as it should.
func (c Class) Bad() bool { return c != OK && c != NoData }

// Took is how long the sample took.
func (s Sample) Took() Offset { return s.End - s.Start - 2*s.Error }

// Sample is one observation of one series. Due is when it should have started,
// Start when it did, End when its outcome was known. For NoData, Start and End
// equal Due.
type Sample struct {
	Series int    `json:"p"`
	N      int64  `json:"n"`
	Due    Offset `json:"d"`
	Start  Offset `json:"s"`
	End    Offset `json:"e"`
	Class  Class  `json:"c"`
	// Error is by how much Start and End lie further apart than the sample took, halved,
	// as the clock of who made it is not the runner's (Series.From).
	Error Offset `json:"u,omitempty"`
	// By is who answered: a member's name, empty if unknown.
	By string `json:"b,omitempty"`
	// Detail is the first line of what was said, at most 200 bytes.
	Detail string `json:"x,omitempty"`
	// Stale is for how long a read had not seen an acknowledged write; 0 = it had.
	Stale Offset `json:"l,omitempty"`
	// Request is set on samples of probes that ask a model.
	Request *Request `json:"r,omitempty"`
}
