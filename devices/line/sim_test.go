package line

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// What a camera writes, byte by byte; the clock stands at the beginning of the
// year 2000, as in every synctest bubble.
func TestCameraWritesItsTemplate(t *testing.T) {
	for _, c := range []struct {
		template, name            string
		plate, noRead, bare, beat string
	}{
		{"axxon", "", "\x022000010100000001ABC123\x03", "\x022000010100000001Not defined\x03", "\x022000010100000001ABC123\x03", "\x02ALIVE\x03"},
		{"axxon", "7", "\x022000010100000007ABC123\x03", "\x022000010100000007Not defined\x03", "\x022000010100000007ABC123\x03", "\x02ALIVE\x03"},
		{"axxon", "123", "\x022000010100000012ABC123\x03", "\x022000010100000012Not defined\x03", "\x022000010100000012ABC123\x03", "\x02ALIVE\x03"},
		{"nedap-raw", "", "ABC123-ON\r\n", "NOREAD\r\n", "ABC123\r\n", "ALIVE\r\n"},
		{"lumo", "", "ABC123;ON;97;IN\r\n", "NOREAD;;0;IN\r\n", "ABC123;;97;IN\r\n", "ALIVE\r\n"},
		{"csv-generic", "front", "2000-01-01T00:00:00,ABC123,97,front\n", "2000-01-01T00:00:00,NOREAD,0,front\n", "2000-01-01T00:00:00,ABC123,97,front\n", "ALIVE\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var wire bytes.Buffer
			cam := cameraOf(c.template, &wire)
			cam.Name = c.name
			for _, step := range []struct {
				act  func() error
				want string
			}{
				{func() error { return cam.Plate("ABC123", "ON", 0.97) }, c.plate},
				{func() error { return cam.Plate("ABC123", "", 0.97) }, c.bare},
				{cam.NoRead, c.noRead},
				{func() error { return cam.Beat("ALIVE") }, c.beat},
				{func() error { return cam.Raw([]byte{0, 0xff}) }, "\x00\xff"},
			} {
				wire.Reset()
				if err := step.act(); err != nil || wire.String() != step.want {
					t.Errorf("%s: wrote %q (%v), want %q", c.template, wire.String(), err, step.want)
				}
			}
		})
	}
}

func TestMutedCameraWritesNothing(t *testing.T) {
	var wire bytes.Buffer
	cam := cameraOf("axxon", &wire)
	cam.Mute(true)
	if err := errors.Join(cam.Plate("A", "", 1), cam.NoRead(), cam.Beat("B"), cam.Raw([]byte("C"))); err != nil || wire.Len() != 0 {
		t.Errorf("muted, it wrote %q (%v)", wire.String(), err)
	}
	cam.Mute(false)
	if err := cam.Beat("B"); err != nil || wire.String() != "\x02B\x03" {
		t.Errorf("wrote %q (%v)", wire.String(), err)
	}
}

// Reports of many goroutines do not mix, and a wire that is gone is an error.
func TestReportsAreWrittenWhole(t *testing.T) {
	near, far := net.Pipe()
	cam := cameraOf("nedap-raw", far)
	const each = 50
	errs := make(chan error, 2)
	for _, plate := range []string{"AAAAAA", "BBBBBB"} {
		go func() {
			var err error
			for range each {
				err = errors.Join(err, cam.Plate(plate, "", 1))
			}
			errs <- err
		}()
	}
	b := make([]byte, 2*each*len("AAAAAA\r\n"))
	if err := near.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(near, b); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Error(err)
	}
	if n := bytes.Count(b, []byte("AAAAAA\r\n")) + bytes.Count(b, []byte("BBBBBB\r\n")); n != 2*each {
		t.Errorf("%d whole reports, want %d", n, 2*each)
	}
	if err := errors.Join(near.Close(), far.Close()); err != nil {
		t.Fatal(err)
	}
	if err := cam.NoRead(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("on a wire that is gone: %v", err)
	}
}
