package main

import (
	"bytes"
	crand "crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"boothd/agent"
	"boothd/configs"
)

// hardwareLane is the example with one of every reader and a board of relays
// in place of the GPIO chip.
const hardwareLane = "hardware"

// boothConfig plays the devices of the example of such a lane and writes it
// with this world's addresses in it.
func boothConfig(dir, lane, broker, listen string, h *hardware) (*configs.Config, error) {
	text, err := exampleIn(dir, lane, broker, listen, h.speed)
	if err != nil {
		return nil, err
	}
	cfg, err := agent.Drivers.Parse(lane+".toml", []byte(text))
	if err != nil {
		return nil, err
	}
	if err := writeSecrets(dir, cfg); err != nil {
		return nil, err
	}
	at := map[string]configs.Port{}
	for _, d := range cfg.Devices {
		if strings.HasPrefix(string(d.Path), "/dev/input/") {
			continue // the kernel's: left out
		}
		if d.Path, err = aside(d); err != nil {
			return nil, err
		}
		f, err := h.add(d)
		if err != nil {
			return nil, err
		}
		at[d.Name] = d.Path
		if f.cable != nil {
			at[d.Name] = f.cable.at
		}
	}
	for _, c := range cfg.Boards {
		c.Path = ""
		b, err := h.addBoard(c)
		if err != nil {
			return nil, err
		}
		at[c.Name] = b.cable.at
	}
	path := filepath.Join(dir, "boothd.toml")
	if err := os.WriteFile(path, []byte(placed(text, at)), 0o600); err != nil {
		return nil, fmt.Errorf("writing configuration: %w", err)
	}
	return agent.Drivers.Load(path)
}

// exampleIn is the example of a lane with what belongs to this machine put in.
func exampleIn(dir, lane, broker, listen string, speed float64) (string, error) {
	words := map[string]string{
		`# socket = "/run/boothd/boothd.sock"`:   `socket = "` + filepath.Join(dir, "boothd.sock") + `"`,
		`# dir = "/var/lib/boothd"`:              `dir = "` + filepath.Join(dir, "store") + `"`,
		`["ssl://hq-a:8883", "ssl://hq-b:8883"]`: `["tcp://` + broker + `"]`,
		`# root = "/etc/boothd/trust/root.json"`: `root = "` + filepath.Join(dir, "hq", "root.json") + `"`,
		`# key = "credential:token-key"`:         `key = "` + filepath.Join(dir, "hq", "token.key") + `"`,
		`# listen = "127.0.0.1:7080"`:            `listen = "` + listen + `"`,
		`# source = "kernel"`:                    `source = "host"`,
		"\nca = ":                                "\n# ca = ",
		"\ncert = ":                              "\n# cert = ",
		"\nkey = \"credential:mqtt-key\"":        "\n# key",
	}
	words[`"pinctrl-bcm2711"`] = `"sim:` + filepath.Join(dir, "chip.sock") + `"`
	if lane == hardwareLane {
		words["\nca = \"/etc/boothd/tls/readers.pem\""] = "\nca = \"" + filepath.Join(dir, "readers.pem") + `"`
		words["\nfingerprint = "] = "\n# fingerprint = "
		words["\nkey = \"credential:rear-key\""] = "\n# key"
		words["\nseparator = "] = "\n# separator = " // the camera's usual text
		words["\nfields = "] = "\n# fields = "
		words["\nack = "] = "\n# ack = "
		words[`"credential:rear-token"`] = `"` + filepath.Join(dir, "rear.token") + `"`
		words[`"credential:reader-key"`] = `"` + filepath.Join(dir, "reader.key") + `"`
		words[`"https://192.0.2.1:7443/rear"`] = `"http://127.0.0.1:7090/rear"`
		return exampleOf(lane, words)
	}
	debounce := max(time.Duration(float64(30*time.Millisecond)/speed), 3*time.Millisecond).Round(time.Millisecond).String()
	words[`active_low = true }`] = `active_low = true, debounce = "` + debounce + `" }`
	text, err := exampleOf(lane, words)
	return strings.NewReplacer(`debounce = "50ms" }`, `debounce = "`+debounce+`" }`,
		`# matcher = "/run/boothd/matcher.sock"`, `matcher = "`+filepath.Join(dir, "matcher.sock")+`"`,
		`# matcher_key = "credential:matcher-key"`, `matcher_key = "`+filepath.Join(dir, "matcher.key")+`"`,
		`template = "axxon"`, `template = "lumo"`, `# language = "escpos"`, `language = "plain"`).Replace(text), err
}

// exampleOf is the example that comes with the program, with some words of it
// exchanged, the longer ones first. Each must be there: an example that has
// changed is noticed.
func exampleOf(lane string, words map[string]string) (string, error) {
	b, err := configs.Examples.ReadFile(lane + ".toml")
	if err != nil {
		return "", fmt.Errorf("reading the example: %w", err)
	}
	var olds, pairs []string
	for old := range words {
		if !bytes.Contains(b, []byte(old)) {
			return "", fmt.Errorf("the example has no %q any more", old)
		}
		olds = append(olds, old)
	}
	slices.SortFunc(olds, func(a, b string) int { return len(b) - len(a) })
	for _, old := range olds {
		pairs = append(pairs, old, words[old])
	}
	return strings.NewReplacer(pairs...).Replace(string(b)), nil
}

// cardReaders are the readers of a lane's example, in order.
func cardReaders(lane string) ([]configs.Device, error) {
	text, err := exampleOf(lane, nil)
	if err != nil {
		return nil, err
	}
	cfg, err := agent.Drivers.Parse(lane+".toml", []byte(text))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(cfg.Devices, func(d configs.Device) bool { return d.Role != configs.RoleCard }), nil
}

// writeSecrets makes what the booth shares with its devices.
func writeSecrets(dir string, cfg *configs.Config) error {
	var errs []error
	for _, d := range cfg.Devices {
		for _, ref := range d.Secrets() {
			path := string(ref)
			if _, err := os.Stat(path); path == "" || filepath.Dir(path) != dir || err == nil {
				continue
			}
			raw := make([]byte, 16)
			_, err := crand.Read(raw)
			errs = append(errs, err, os.WriteFile(path, fmt.Appendf(nil, "%x\n", raw), 0o600))
		}
	}
	return errors.Join(errs...)
}

// aside is where a device of an example is played: on any pty, or, if it is one
// of the network, at any port of this machine alone.
func aside(d configs.Device) (configs.Port, error) {
	path, web := d.Path.Web()
	switch scheme := d.Path.Scheme(); {
	case web, d.From != "": // the booth listens
		at, err := freeAddress()
		if err != nil {
			return "", err
		}
		if d.From != "" {
			return configs.Port("tcp://" + at), nil
		}
		return configs.Port("http://" + at + path), nil
	case scheme != "":
		return configs.Port(scheme + "://127.0.0.1:0"), nil
	}
	return "", nil
}

var (
	tableHead  = regexp.MustCompile(`(?m)^\[+[a-z.]+\]+$`)
	deviceName = regexp.MustCompile(`(?m)^name = "([^"]*)"`)
	devicePath = regexp.MustCompile(`(?m)^path = "[^"]*"`)
	deviceFrom = regexp.MustCompile(`(?m)^from = "[^"]*"`)
)

// placed gives every device and board of a configuration the place where it is
// played, by its name; what nobody plays is left out.
func placed(text string, at map[string]configs.Port) string {
	heads := tableHead.FindAllStringIndex(text, -1)
	out := text[:heads[0][0]]
	for i, head := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		table := text[head[0]:end]
		if kind := text[head[0]:head[1]]; kind == "[[device]]" || kind == "[[board]]" {
			path, played := at[deviceName.FindStringSubmatch(table)[1]]
			if !played {
				continue
			}
			table = devicePath.ReplaceAllLiteralString(table, `path = "`+string(path)+`"`)
			table = deviceFrom.ReplaceAllLiteralString(table, `from = "127.0.0.1"`) // whoever plays it is here
		}
		out += table
	}
	return out
}
