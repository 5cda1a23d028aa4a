package dossier

// Exported says that the record of an incident left the product.
type Exported struct {
	Format   string `json:"format"`
	Level    Level  `json:"level"`
	Language string `json:"language"`
	// SHA256 is that of the file; of an archive, that of its statement.
	SHA256 string `json:"sha256"`
}

// FactType implements ledger.Body.
func (Exported) FactType() string { return "incident.exported" }

// Sealed ties an archive to the ledger: it names nobody, so that it can stand in an
// archive that leaves out the names.
type Sealed struct {
	// SHA256 is that of the archive's statement, see Manifest.
	SHA256 string `json:"sha256"`
}

// FactType implements ledger.Body.
func (Sealed) FactType() string { return "dossier.sealed" }
