package pd

import "slices"

// Readers sets how the readers that hang on this one are, and reports it, a byte
// each: 0 as it should be, 1 not connected, 2 tamper. Of none it only reports.
func (d *Device) Readers(states ...byte) { d.points(&d.readers, 0x4B, states) }

// Inputs sets its inputs and reports them, a byte each: 1 active. Like outputs it
// has them from the first call on.
func (d *Device) Inputs(states ...byte) { d.points(&d.inputs, 0x49, states) }

// Outputs sets its outputs and reports them, a byte each: 1 on.
func (d *Device) Outputs(states ...byte) { d.points(&d.outputs, 0x4A, states) }

func (d *Device) points(of *[]byte, code byte, states []byte) {
	if len(states) > 0 {
		d.mu.Lock()
		*of = states
		d.mu.Unlock()
	}
	d.report(code, states)
}

// At is its address, which a panel may have changed.
func (d *Device) At() byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Address
}

// Speed is what a panel has set; 0: nothing. Any wire has every speed.
func (d *Device) Speed() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.baud
}

// settings answers a command to move.
func (d *Device) settings(data []byte) (byte, []byte) {
	if d.Fixed {
		return 0x41, []byte{3}
	}
	if len(data) != 5 || data[0] > 0x7E {
		return 0x41, []byte{2}
	}
	baud := int(data[1]) | int(data[2])<<8 | int(data[3])<<16
	if d.Slow {
		baud = 9600
	}
	address := data[0]
	d.moves = func() { d.Address, d.baud = address, baud }
	return 0x54, []byte{address, byte(baud), byte(baud >> 8), byte(baud >> 16), 0}
}

// capable is what the reader says of its inputs and outputs.
func (d *Device) capable() (b []byte) {
	if n := len(d.inputs); n > 0 {
		b = append(b, 1, 1, byte(n))
	}
	if n := len(d.outputs); n > 0 {
		b = append(b, 2, 1, byte(n))
	}
	return b
}

// switched carries out a command to outputs; times are not kept.
func (d *Device) switched(data []byte) []byte {
	d.outputs = slices.Clone(d.outputs)
	for ; len(data) >= 4; data = data[4:] {
		if n := int(data[0]); n < len(d.outputs) && data[1] >= 1 && data[1] <= 6 {
			d.outputs[n] = map[byte]byte{2: 1, 4: 1, 5: 1}[data[1]]
		}
	}
	return d.outputs
}

// tell answers with points, or that there are none.
func tell(code byte, states []byte) (byte, []byte) {
	if len(states) == 0 {
		return 0x41, []byte{3}
	}
	return code, states
}
