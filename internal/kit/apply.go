package kit

// ApplyOptions says how an organisation file is applied.
type ApplyOptions struct {
	// DryRun tells what would be done and changes nothing.
	DryRun bool
	// Prune retires what the file does not name.
	Prune bool
	// Reason goes with what the file loosens.
	Reason string
}

// Change is what applying the organisation file does to one object.
type Change struct {
	// Section is the list of the file: people, schedules …
	Section string `json:"section"`
	// ID is the object's id, empty for a section that is one object.
	ID string `json:"id,omitempty"`
	// Op is create, change, remove or keep.
	Op string `json:"op"`
	// Detail names the fields that change, or why the object is kept.
	Detail string `json:"detail,omitempty"`
}
