package printer

import "boothd/devices"

// Settings are the keys of a configuration that a printer has of its own.
type Settings struct {
	Language Language `toml:"language,omitempty" one:"escpos plain"`
	Columns  int      `toml:"columns,omitempty"` // characters of a line, 16 to 80
	Answers  bool     `toml:"answers"`           // it is wired both ways and asked before each receipt; if not written, it is so of escpos
}

// Defaults are those of a printer of which nothing is written.
var Defaults = Settings{Language: ESCPOS, Columns: 42}

// Check completes and judges them.
func (s *Settings) Check(w devices.Written) {
	if !w.Has("answers") {
		s.Answers = s.Language == ESCPOS
	}
	w.Count("columns", s.Columns, 16, 80)
	if s.Language == Plain && s.Answers {
		w.Refuse("answers", "a printer of plain text cannot answer", "write false, or leave it out")
	}
}
