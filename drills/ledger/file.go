package ledger

// File is a ledger's file of entries, open for writing. See Create.
type File struct{}
