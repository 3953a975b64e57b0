package lists_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// What a stream must not hold is refused before a byte of it is judged, and
// nothing of it lies anywhere but in the booth's own folder, and there no more.
func TestI6_NoStreamReachesOut(t *testing.T) {
	o := newOffice(t, 1)
	r := runBooth(t, o)
	old := o.publish(cardList(t, 1, cardsHad), memberList(t, 1, membersHad))
	if answer, spoken := r.bring(pack(t, old.stream())); len(answer.Applied) != 2 {
		t.Fatalf("the first lists: %+v %s", answer, spoken)
	}
	body := []byte("out")
	file := func(name string) entry { return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 3}, body} }
	link := func(kind byte, name, to string) entry {
		return entry{tar.Header{Typeflag: kind, Name: name, Linkname: to}, nil}
	}
	for name, files := range map[string][]entry{
		"a path upwards":      {file("../timestamp.json")},
		"a path through":      {file("targets/../../../escaped.list")},
		"an absolute path":    {file("/tmp/timestamp.json")},
		"a symbolic link":     {link(tar.TypeSymlink, "timestamp.json", "/etc/passwd")},
		"a folder as a link":  {link(tar.TypeSymlink, "targets", r.dir), file("targets/cards-2.list")},
		"a hard link":         {link(tar.TypeLink, "targets/cards-2.list", "/etc/passwd")},
		"a fifo":              {link(tar.TypeFifo, "timestamp.json", "")},
		"a device":            {link(tar.TypeChar, "timestamp.json", "")},
		"a file twice":        {file("timestamp.json"), file("timestamp.json")},
		"a name of no list":   {file("targets/.cards-2.list")},
		"a name in capitals":  {file("targets/CARDS-2.list")},
		"a generation of 0":   {file("targets/cards-0.list")},
		"a name with a break": {file("targets/cards-2.list\n")},
		"a name of 4 KiB":     {file("targets/" + strings.Repeat("c", 4096) + "-2.list")},
		"257 files":           many(257),
		"4 GiB":               {{tar.Header{Typeflag: tar.TypeReg, Name: "targets/cards-2.list", Size: 4 << 30}, nil}},
	} {
		_, _, at := r.audit(0)
		stream := cutShort(t, files)
		answer, spoken := r.bring(stream)
		if !strings.HasPrefix(spoken, "422 ") || len(answer.Applied) != 0 {
			t.Errorf("%s: the booth answers %+v %q", name, answer, spoken)
		}
		if failed, applied, _ := r.audit(at); len(applied) != 0 || len(failed) != 0 {
			t.Errorf("%s: the journal tells %+v and %+v", name, failed, applied)
		}
	}
	if l := r.shows(); l.Generation != 1 || l.Rejected {
		t.Errorf("in force: %+v", l)
	}
	if left := r.imports(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	for name, stream := range map[string][]byte{"nothing": {}, "no tar": bytes.Repeat([]byte("no tar "), 4000), "half a file": pack(t, o.good().stream())[:700]} {
		if answer, _ := r.bring(stream); len(answer.Applied) != 0 {
			t.Errorf("%s: %+v", name, answer)
		}
	}
	if answer, spoken := r.bring(pack(t, o.good().stream())); len(answer.Applied) != 2 {
		t.Errorf("the next good lists: %+v %s", answer, spoken)
	}
}

func many(n int) (out []entry) {
	for i := range n {
		out = append(out, entry{tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("targets/cards-%d.list", i+1), Size: 1}, []byte("x")})
	}
	return out
}
