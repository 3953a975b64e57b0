package configs

func completeBarcode(_ *checker, _ string, d *Device) {
	if d.Suffix == "" {
		d.Suffix = SuffixCR
	}
}

func (c *checker) completePrinter(p string, d *Device) {
	if d.Language == "" {
		d.Language = ESCPOS
	}
	if !c.has(sub(p, "answers")) {
		d.Answers = d.Language == ESCPOS
	}
	if !c.has(sub(p, "columns")) {
		d.Columns = 42
	}
}

func (c *checker) printer(p string, d *Device) {
	c.count(sub(p, "columns"), d.Columns, 16, 80)
	if d.Language == Plain && d.Answers {
		c.refuse(sub(p, "answers"), "a printer of plain text cannot answer", "write false, or leave it out")
	}
}
