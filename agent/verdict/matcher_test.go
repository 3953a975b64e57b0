package verdict

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
)

func TestMatcher(t *testing.T) {
	for name, tt := range map[string]struct {
		m    Matcher
		say  string
		want error
	}{
		"no challenge":         {Matcher{}, "hello\n", ErrForm},
		"a line without end":   {Matcher{}, strings.Repeat("x", MaxLine+1), bufio.ErrTooLong},
		"no key":               {Matcher{ID: "a", Judge: func(context.Context, Challenge) (Result, bool) { return Match, true }}, "challenge", ErrNoKey},
		"nothing to say":       {Matcher{Judge: func(context.Context, Challenge) (Result, bool) { return 0, false }}, "challenge", nil},
		"spoilt before signed": {Matcher{Key: key(t), Judge: func(context.Context, Challenge) (Result, bool) { return Match, true }, Spoil: func(v *Verdict) { v.Nonce = Nonce{} }}, "challenge", ErrForm},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			go func() {
				say := []byte(tt.say)
				if tt.say == "challenge" {
					say, _ = EncodeChallenge(sample(t).Challenge)
				}
				_, _ = near.Write(say) // the matcher may have hung up
				_ = near.Close()
			}()
			if err := tt.m.Serve(t.Context(), far); !errors.Is(err, tt.want) {
				t.Errorf("Serve = %v, want %v", err, tt.want)
			}
		})
	}
	near, far := net.Pipe()
	defer near.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (Matcher{}).Serve(ctx, far); !errors.Is(err, context.Canceled) {
		t.Errorf("Serve = %v, want %v", err, context.Canceled)
	}
}
