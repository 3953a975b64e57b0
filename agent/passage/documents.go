package passage

import (
	"slices"
	"time"
)

// Document is one document read by its machine-readable zone: a card held to
// the reader at a booth or put into a kiosk.
type Document struct {
	Token       Token `json:"token,omitzero"`        // of issuer and number
	CheckFailed bool  `json:"check_failed,omitzero"` // a check digit is wrong (415); then no Token
}

// DocumentFact is what the lists say of one document.
type DocumentFact struct {
	Found bool  `json:"found"`
	Card  Token `json:"card,omitzero"` // the card that the document is
	// Fact is what the lists say of that card.
	Fact CardFact `json:"fact"`
}

// Session is a traveller's time at a kiosk (domain reference, section 4).
type Session struct {
	Nonce    string    `json:"nonce"` // that a verdict must quote
	Party    int       `json:"party"` // travellers in the party, as stated; 0: not stated
	Declared bool      `json:"declared,omitzero"`
	Answered bool      `json:"answered,omitzero"` // the question for goods was answered
	TimedOut bool      `json:"timed_out,omitzero"`
	Waited   bool      `json:"waited,omitzero"` // no verdict came in time
	Verdicts []Verdict `json:"verdicts,omitzero"`
}

// Verdict is what the biometric matcher says. No score, image or template
// crosses the interface.
type Verdict struct {
	Passage    string    `json:"passage"`
	Card       Token     `json:"card"`
	Nonce      string    `json:"nonce"`
	Result     string    `json:"result"` // MATCH, NO_MATCH, NOT_ENROLLED, POOR_QUALITY, UNAVAILABLE
	ProducedAt time.Time `json:"produced_at"`
	ReceivedAt time.Time `json:"received_at"`
	Sealed     bool      `json:"sealed"` // its MAC is right
}

// Results of a matcher.
const (
	BioMatch     = "MATCH"
	BioNo        = "NO_MATCH"
	BioUnknown   = "NOT_ENROLLED"
	BioPoor      = "POOR_QUALITY"
	BioNoMatcher = "UNAVAILABLE"
)

// verdictAhead is how much faster the matcher's clock may be.
const verdictAhead = Millis(1000)

// holding is one card in somebody's hand, however it was read.
type holding struct {
	card Card
	fact CardFact
}

// holdings gives every distinct card of the passage with its facts: those that
// the antenna read, then those of which only the document was read. whole is
// false if there is not one fact for each.
func holdings(ev Evidence, f Facts) (held []holding, whole bool) {
	whole = len(f.Cards) == len(ev.Cards) && len(f.Documents) == len(ev.Documents)
	add := func(card Card, fact CardFact) {
		i := slices.IndexFunc(held, func(h holding) bool { return h.card.Token == card.Token })
		if i < 0 || card.Token == "" {
			held = append(held, holding{card, fact})
		}
	}
	for i, card := range ev.Cards {
		var fact CardFact // of a card without facts: not found
		if i < len(f.Cards) {
			fact = f.Cards[i]
		}
		held = append(held, holding{card, fact})
	}
	for i, d := range ev.Documents {
		switch {
		case d.CheckFailed:
		case i < len(f.Documents) && f.Documents[i].Found:
			add(Card{Token: f.Documents[i].Card}, f.Documents[i].Fact)
		default:
			add(Card{Token: d.Token}, CardFact{})
		}
	}
	return held, whole
}

// Rows 415 and 416. At a kiosk one traveller stands, so a document and a chip
// of different cards are evidence at once. In a vehicle the document may be
// that of another passenger, whose chip is dead: only more cards than
// occupants tell otherwise.
func (c *weighing) documents() {
	strange := false
	for i, d := range c.ev.Documents {
		c.when(d.CheckFailed, MRZCheckFailed)
		if d.CheckFailed || i >= len(c.f.Documents) || !c.f.Documents[i].Found {
			continue
		}
		card := c.f.Documents[i].Card
		strange = strange || !slices.ContainsFunc(c.ev.Cards, func(have Card) bool { return have.Token == card })
	}
	people := c.ev.Occupants
	if c.pol.Lane == NEXUSAir {
		people = 1
	}
	c.when(strange && len(c.ev.Cards) > 0 && people > 0 && c.distinct > people, MRZRFIDMismatch)
}
