package relay

// SimLamp is a lamp on a relay of a simulated board, with a wire back to one of
// its inputs that is on while the lamp is lit, or, if it is Low, while it is
// dark.
type SimLamp struct {
	Relay  int
	Input  int
	AtRest bool // on the contact that is closed while the relay is released
	Low    bool
}

// simLamp is one of them; the board's mutex guards it.
type simLamp struct {
	SimLamp
	stuck, burnt bool
}

// Lamps hangs lamps on the board. Their inputs follow them from now on.
func (s *Sim) Lamps(lamps ...SimLamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range lamps {
		s.lamps = append(s.lamps, simLamp{SimLamp: l})
	}
}

// Fail has the lamp on a relay stuck lit, burnt out, or sound again.
func (s *Sim) Fail(relay int, stuck, burnt bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.lamps {
		if s.lamps[i].Relay == relay {
			s.lamps[i].stuck, s.lamps[i].burnt = stuck, burnt
		}
	}
}

// Swap exchanges the wires of the lamps on two relays.
func (s *Sim) Swap(relay, other int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.lamps {
		for j := range s.lamps {
			if a, b := &s.lamps[i], &s.lamps[j]; a.Relay == relay && b.Relay == other {
				a.Input, b.Input = b.Input, a.Input
				return
			}
		}
	}
}

// seen is the inputs with what the lamps show. The caller holds mu.
func (s *Sim) seen() levels {
	in := s.inputs
	for _, l := range s.lamps {
		lit := (s.relays.on(l.Relay) != l.AtRest || l.stuck) && !l.burnt
		in = in.with(l.Input, lit != l.Low)
	}
	return in
}
