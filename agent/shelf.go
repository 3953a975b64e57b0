package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"boothd/agent/contract"
	"boothd/agent/lists"
	"boothd/agent/passage"
	"boothd/buffer/eligibility"
)

const (
	// shelfAgain is the pause before a list store, or one list of it, that could
	// not be opened, or an announcement that could not be stored, is tried again:
	// the booth is to be back within 5 s of a fault's end (reliability reference,
	// R2).
	shelfAgain = 2 * time.Second
	// neverVouched is the age of a list whose heartbeat nobody has seen, or that
	// claims to come from the future: over every limit.
	neverVouched = 100 * 365 * 24 * time.Hour
)

var errNoTrust = errors.New("no trusted root is installed: set lists.root to the root.json of the list office")

var errShelfClosed = errors.New("the list store is not open yet")

// shelf holds the lists: the lane looks up in them and new ones arrive. A shelf
// that cannot be opened is a fact (206), not the end of the booth.
type shelf struct {
	log   *slog.Logger
	dir   string
	root  []byte // the trust that was installed; nil: nothing will be taken
	floor time.Time
	// tokenKeys names the token keys that count now.
	tokenKeys func() []string
	needs     func() []string // kinds that the lane cannot do without, in order
	store     func(ctx context.Context, at time.Time, events ...contract.Data) (seq uint64, err error)
	stamp     func(at time.Time) contract.Clock

	open    atomic.Pointer[eligibility.Store]
	refused atomic.Pointer[map[string]bool] // kinds whose newest was refused (205)
	damaged chan *eligibility.Fault         // what a look-up found
	changed func()                          // tells that state/lists is another one
	quality func() passage.Clock            // judges the wall clock; nothing expires by one that is not trusted
	taken   chan struct{}                   // a list was taken: what it withdraws goes at once; holds one
	quiet   func() bool                     // nobody drives through; nil: never
	pace    eligibility.Pace                // of building and reading lists
	dropped func()                          // tells that a list turned out damaged and has to come anew; nil: nobody

	taking sync.Mutex // one import at a time; the lane never holds it
	trust  *lists.Trust
	former map[string]uint64 // generations before the import, while they are known

	ages vouching
}

// kinds are the lists a booth may hold.
func (s *shelf) kinds() []string { return contract.ListKinds() }

// run opens the store, makes announcements good and looks for damage until ctx
// ends.
func (s *shelf) run(ctx context.Context) {
	for {
		err := s.start(ctx)
		if err == nil {
			break
		}
		s.log.Error("lists cannot be opened", "err", err)
		if !sleep(ctx, shelfAgain) {
			return
		}
	}
	defer func() {
		if st := s.open.Load(); st != nil {
			if err := st.Close(); err != nil {
				s.log.Warn("closing lists", "err", err)
			}
		}
	}()
	upkeep := time.NewTicker(upkeepEvery)
	defer upkeep.Stop()
	again := time.NewTicker(shelfAgain)
	defer again.Stop()
	purge := time.NewTicker(purgeEvery)
	defer purge.Stop()
	s.purge(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-s.damaged:
			s.discard(ctx, f)
		case <-again.C:
			s.reopen(ctx)
			s.announce(ctx, "restart")
		case <-upkeep.C:
			s.upkeep(ctx)
		case <-purge.C:
			s.purge(ctx)
		case <-s.taken:
			s.purge(ctx)
			s.fold(ctx, func(_ string, rows uint64) bool { return rows > foldMost })
		}
	}
}

// start opens the store and the trust.
func (s *shelf) start(ctx context.Context) error {
	s.taking.Lock()
	defer s.taking.Unlock()
	st, err := eligibility.Open(ctx, filepath.Join(s.dir, "lists"))
	if err != nil {
		return err
	}
	s.serve(st)
	return nil
}

// reopen opens the store once more when there is a list in it that could not be
// opened, and does so for a reason that may pass: descriptors or the disk were
// lacking. The store itself would say the same of that list for ever.
func (s *shelf) reopen(ctx context.Context) {
	old := s.open.Load()
	if readable(old) || !s.taking.TryLock() {
		return
	}
	defer s.taking.Unlock()
	st, err := eligibility.Open(ctx, filepath.Join(s.dir, "lists"))
	if err != nil {
		return // the look-ups say so
	}
	if !readable(st) {
		_ = st.Close() // nothing was done with it
		return
	}
	s.serve(st)
	s.log.Info("lists can be opened again")
	if err := old.Close(); err != nil {
		s.log.Warn("closing lists", "err", err)
	}
}

// readable tells whether every active list can be looked up in. One that is
// damaged can: it is dropped for that, and comes anew.
func readable(st *eligibility.Store) bool {
	v := st.View()
	defer v.Release()
	for _, g := range v.Generations() {
		if _, _, err := v.Lookup(g.Kind, eligibility.Token{}); err != nil && !errors.Is(err, eligibility.ErrCorrupt) {
			return false
		}
	}
	return true
}

// serve takes an open store into use. s.taking is held.
func (s *shelf) serve(st *eligibility.Store) {
	for _, f := range st.Faults() {
		s.log.Error("list was damaged", "err", f)
	}
	if s.root != nil {
		var err error
		s.trust, err = lists.Open(lists.Config{Dir: filepath.Join(s.dir, "trust"), Root: s.root, Kinds: s.kinds(), Store: st, Pace: s.pace, TokenKeys: s.tokenKeys})
		if err != nil {
			s.log.Error("no list will be taken", "err", err)
		}
	}
	s.open.Store(st)
}

// lookup finds a token's row and appends it to dst.
func (s *shelf) lookup(dst []byte, kind string, t passage.Token) ([]byte, bool, error) {
	st := s.open.Load()
	if st == nil {
		return nil, false, errShelfClosed
	}
	b, err := contract.TokenBytes(t)
	if err != nil {
		return nil, false, err
	}
	v := st.View()
	defer v.Release()
	value, ok, err := v.Append(dst, kind, eligibility.Token(b))
	var fault *eligibility.Fault
	switch {
	case errors.Is(err, eligibility.ErrNoList):
		return nil, false, errNoLists
	case errors.Is(err, eligibility.ErrCorrupt) && errors.As(err, &fault):
		select {
		case s.damaged <- fault:
		default: // told already
		}
	}
	return value, ok, err
}

// edition is what is in force at one moment; the zero value is nothing.
type edition struct {
	store *eligibility.Store
	view  uint64
}

// edition tells what is in force from what was: two that are equal are the same
// lists.
func (s *shelf) edition() edition {
	st := s.open.Load()
	if st == nil {
		return edition{}
	}
	return edition{st, st.Edition()}
}

// generations gives what is active.
func (s *shelf) generations() []eligibility.Generation {
	st := s.open.Load()
	if st == nil {
		return nil
	}
	v := st.View()
	defer v.Release()
	return v.Generations()
}

// key names the token key of the lists in force; not ok if there are several.
func (s *shelf) key() (id string, ok bool) {
	st := s.open.Load()
	if st == nil {
		return "", true
	}
	return st.Key()
}

// facts gives generation and age of every kind a decision needs, in order.
func (s *shelf) facts(now time.Time) []passage.List {
	var refused map[string]bool
	if r := s.refused.Load(); r != nil {
		refused = *r
	}
	var v *eligibility.View
	if st := s.open.Load(); st != nil {
		v = st.View()
		defer v.Release()
	}
	needs := s.needs()
	out := make([]passage.List, 0, len(needs))
	for _, kind := range needs {
		l := passage.List{Kind: kind, Rejected: refused[kind]}
		if g, ok := v.Generation(kind); ok {
			l.Generation, l.Digest = g.Generation, hex.EncodeToString(g.Digest[:])
			l.Age = passage.Of(s.ages.age(kind, g.VerifiedAt, now))
		}
		out = append(out, l)
	}
	return out
}

// rootVersion is that of the root the booth trusts.
func (s *shelf) rootVersion() (int64, error) {
	s.taking.Lock()
	defer s.taking.Unlock()
	switch {
	case s.open.Load() == nil:
		return 0, errShelfClosed
	case s.trust == nil:
		return 0, errNoTrust
	}
	return s.trust.RootVersion(), nil
}

// take verifies a source and makes its lists active. What is refused is told
// to headquarters and leaves the old lists in force.
func (s *shelf) take(ctx context.Context, src fs.FS, via string) (lists.Result, error) {
	s.taking.Lock()
	defer s.taking.Unlock()
	switch {
	case s.open.Load() == nil:
		return lists.Result{}, errShelfClosed
	case s.trust == nil:
		return lists.Result{}, errNoTrust
	}
	ref := time.Now()
	if ref.Before(s.floor) {
		ref = s.floor // the clock is wrong (202); nothing signed before this program is new
	}
	s.former = map[string]uint64{}
	for _, g := range s.generations() {
		s.former[g.Kind] = g.Generation
	}
	res, err := s.trust.Take(ctx, src, ref.Round(0))
	s.verdict(ctx, res, err)
	s.announceHeld(ctx, via)
	if s.taken != nil {
		nudge(s.taken)
	}
	if s.changed != nil {
		s.changed()
	}
	return res, err
}

// verdict keeps which kinds were refused and records each refusal once.
func (s *shelf) verdict(ctx context.Context, res lists.Result, err error) {
	refused := map[string]bool{}
	if old := s.refused.Load(); old != nil {
		for kind := range *old {
			refused[kind] = true
		}
	}
	for _, kind := range res.Verified {
		delete(refused, kind)
	}
	for _, r := range refusals(err) {
		if r.Why == lists.Unavailable {
			s.log.Info("list is signed and not here yet", "list", r.Kind, "gen", r.Generation, "err", r.Err)
			continue
		}
		s.log.Warn("list refused", "list", r.Kind, "gen", r.Generation, "err", r)
		if !r.Rejected() {
			continue
		}
		now := time.Now()
		if _, err := s.store(ctx, now, contract.ListFailed{Kind: r.Kind, Generation: r.Generation, Reason: string(r.Why), Clock: s.stamp(now)}); err != nil {
			s.log.Error("refusal of a list not recorded", "err", err)
		}
		if r.Kind != "" {
			refused[r.Kind] = true
			continue
		}
		for _, kind := range s.kinds() { // the metadata itself: it speaks for all
			refused[kind] = true
		}
	}
	s.refused.Store(&refused)
}

// refusals takes a joined error apart.
func refusals(err error) []*lists.Refusal {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []*lists.Refusal
		for _, e := range many.Unwrap() {
			out = append(out, refusals(e)...)
		}
		return out
	}
	var r *lists.Refusal
	if errors.As(err, &r) {
		return []*lists.Refusal{r}
	}
	return nil
}

// announce records which lists decisions stand on, where a crash came between
// the switch and its event.
func (s *shelf) announce(ctx context.Context, via string) {
	if !s.taking.TryLock() {
		return // the import that runs announces
	}
	defer s.taking.Unlock()
	s.announceHeld(ctx, via)
}

func (s *shelf) announceHeld(ctx context.Context, via string) {
	st := s.open.Load()
	if st == nil {
		return
	}
	for _, g := range s.generations() {
		if g.Announced {
			continue
		}
		now := time.Now()
		_, err := s.store(ctx, now, contract.ListApplied{ListRef: listRef(g), Former: s.former[g.Kind], Via: via, Clock: s.stamp(now)})
		if err == nil {
			err = st.Announced(ctx, g.Kind, g.Generation)
		}
		if err != nil {
			if ctx.Err() == nil {
				s.log.Warn("list in force, not yet announced", "list", g.Kind, "err", err)
			}
			return
		}
		s.log.Info("list in force", "list", g.Kind, "gen", g.Generation, "rows", g.Rows)
	}
}

func listRef(g eligibility.Generation) contract.ListRef {
	return contract.ListRef{Kind: g.Kind, Generation: g.Generation, Digest: "sha256:" + hex.EncodeToString(g.Digest[:]), Rows: int64(g.Rows)}
}

// discard drops a damaged generation; the one before it serves again.
func (s *shelf) discard(ctx context.Context, f *eligibility.Fault) {
	st := s.open.Load()
	err := st.Discard(ctx, f.Kind, f.Generation)
	s.log.Error("damaged list dropped", "list", f.Kind, "gen", f.Generation, "err", errors.Join(f, err))
	now := time.Now()
	if _, err := s.store(ctx, now, contract.ListFailed{Kind: f.Kind, Generation: f.Generation, Reason: "damaged", Clock: s.stamp(now)}); err != nil {
		s.log.Error("damage of a list not recorded", "err", err)
	}
	if s.dropped != nil {
		s.dropped()
	}
}

// vouching tells ages that a stepped wall clock cannot make younger: the age
// when a heartbeat was first seen, and the monotonic clock from there.
type vouching struct {
	mu   sync.Mutex // the lane, the page and the uplink ask
	seen map[string]vouched
}

type vouched struct {
	at    time.Time // headquarters' heartbeat, wall clock
	first time.Time // when it was first asked for, with monotonic part
	age   time.Duration
}

func (v *vouching) age(kind string, at, now time.Time) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	k, ok := v.seen[kind]
	if !ok || !k.at.Equal(at) {
		k = vouched{at: at, first: now, age: now.Round(0).Sub(at)}
		if at.IsZero() || k.age < -stepBack {
			k.age = neverVouched
		}
		if v.seen == nil {
			v.seen = make(map[string]vouched)
		}
		v.seen[kind] = k
	}
	return max(k.age+now.Sub(k.first), now.Round(0).Sub(at), 0)
}
