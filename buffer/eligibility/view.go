package eligibility

import (
	"slices"
	"strings"
	"sync/atomic"
)

// View is the set of generations active at one moment. It stays whole while
// it is held: an activation makes a new view and leaves this one as it is.
// Release it; the files of a generation that is active no more stay open, and
// their bytes on disk, until the last view of them is released.
type View struct {
	files   []*file // by kind
	edition uint64
	refs    atomic.Int64
}

// View gives what is active now. It costs two atomic operations, never waits
// and never is nil; after Close it holds nothing.
func (s *Store) View() *View {
	for {
		v := s.view.Load()
		if v == nil {
			return &View{}
		}
		// A view that has fallen to zero has a successor in the pointer.
		if n := v.refs.Load(); n > 0 && v.refs.CompareAndSwap(n, n+1) {
			return v
		}
	}
}

// Edition tells the views of a store apart: it grows whenever a list comes into
// force or leaves it. It is 0 after Close.
func (s *Store) Edition() uint64 {
	if v := s.view.Load(); v != nil {
		return v.edition
	}
	return 0
}

// Release gives the view back. It is not to be used afterwards.
func (v *View) Release() {
	if v == nil || v.refs.Add(-1) != 0 {
		return
	}
	for _, f := range v.files {
		f.release()
	}
}

// Lookup finds the value of a token in the active list of a kind. The bytes
// are the caller's. An error is ErrNoList or a *Fault; ok is false then, but
// that says nothing of the token.
func (v *View) Lookup(kind string, t Token) (value []byte, ok bool, err error) {
	return v.Append(nil, kind, t)
}

// Append is Lookup into the caller's bytes: the value is appended to dst, and
// nothing is allocated where that has room. Without a value it gives nil.
func (v *View) Append(dst []byte, kind string, t Token) (value []byte, ok bool, err error) {
	f := v.find(kind)
	if f == nil {
		return nil, false, ErrNoList
	}
	return f.lookup(dst, t)
}

// Lookup is Lookup in the view of this moment, for one question by itself.
func (s *Store) Lookup(kind string, t Token) (value []byte, ok bool, err error) {
	v := s.View()
	defer v.Release()
	return v.Lookup(kind, t)
}

// Key gives the key of the active generations (Spec.Key); not ok if they have
// several. It does not allocate.
func (s *Store) Key() (key string, ok bool) {
	v := s.View()
	defer v.Release()
	for i, f := range v.files {
		if i > 0 && f.gen.Key != key {
			return "", false
		}
		key = f.gen.Key
	}
	return key, true
}

// Generations gives the active generation of each kind, by kind.
func (v *View) Generations() []Generation {
	out := make([]Generation, len(v.files))
	for i, f := range v.files {
		out[i] = *f.known.Load()
	}
	return out
}

// Generation gives the active one of a kind, if there is one. It does not
// allocate.
func (v *View) Generation(kind string) (g Generation, ok bool) {
	f := v.find(kind)
	if f == nil {
		return g, false
	}
	return *f.known.Load(), true
}

// find does not allocate; there are a handful of kinds. In no view there is
// nothing.
func (v *View) find(kind string) *file {
	if v == nil {
		return nil
	}
	for _, f := range v.files {
		if f.gen.Kind == kind {
			return f
		}
	}
	return nil
}

// publish replaces the files of their kinds in the view, all at once. Store.mu
// is held, or nobody else knows the store yet.
func (s *Store) publish(files ...*file) { s.show(files, "") }

// withdraw takes a kind out of the view.
func (s *Store) withdraw(kind string) { s.show(nil, kind) }

func (s *Store) show(files []*file, without string) {
	old := s.view.Load()
	next := &View{edition: old.edition + 1, files: slices.DeleteFunc(slices.Clone(old.files), func(o *file) bool {
		return o.gen.Kind == without || slices.ContainsFunc(files, func(f *file) bool { return f.gen.Kind == o.gen.Kind })
	})}
	for _, o := range next.files {
		o.refs.Add(1)
	}
	next.files = append(next.files, files...) // each comes with one reference
	slices.SortFunc(next.files, func(a, b *file) int { return strings.Compare(a.gen.Kind, b.gen.Kind) })
	next.refs.Store(1)
	s.view.Store(next)
	old.Release()
}

// republish tells the files in the view what is newly known of them.
func (s *Store) republish(changed []Generation) {
	v := s.view.Load()
	for _, g := range changed {
		if f := v.find(g.Kind); f != nil {
			f.known.Store(&g)
		}
	}
}
