package status

import "github.com/prometheus/client_golang/prometheus"

func deviceSeries() []series {
	labels := []string{"device", "role", "driver"}
	count := func(name, help string, of func(Counts) uint64) series {
		return series{"device_" + name + "_total", help + ", since start.", labels, prometheus.CounterValue,
			func(p *Picture, out emit) {
				for _, d := range p.Devices {
					out(float64(of(d.Counts)), d.Name, d.Role, d.Driver)
				}
			}, nil}
	}
	return []series{
		{"device_online", "1 if the device answers.", labels, prometheus.GaugeValue,
			func(p *Picture, out emit) {
				for _, d := range p.Devices {
					out(bit(d.Online), d.Name, d.Role, d.Driver)
				}
			}, nil},
		{"device_last_read_timestamp_seconds", "When the device last gave a read, Unix time; absent before the first.", labels, prometheus.GaugeValue,
			func(p *Picture, out emit) {
				for _, d := range p.Devices {
					if !d.ReadAt.IsZero() {
						out(float64(d.ReadAt.UnixMilli())/1e3, d.Name, d.Role, d.Driver)
					}
				}
			}, nil},
		count("bytes", "Bytes received", func(c Counts) uint64 { return c.Bytes }),
		count("frames", "Valid frames received", func(c Counts) uint64 { return c.Frames }),
		count("check_errors", "Frames with a wrong check value", func(c Counts) uint64 { return c.CheckErrors }),
		count("timeouts", "Answers that did not come", func(c Counts) uint64 { return c.Timeouts }),
		count("resyncs", "Searches for the next frame after damage", func(c Counts) uint64 { return c.Resyncs }),
		count("repeats", "Reports that said again what was said, and were held back", func(c Counts) uint64 { return c.Repeats }),
		count("reopens", "Times the line was opened again", func(c Counts) uint64 { return c.Reopens }),
	}
}

func listSeries() []series {
	labels := []string{"list"}
	each := func(name, help string, fill func(l List, out emit)) series {
		return series{"list_" + name, help, labels, prometheus.GaugeValue,
			func(p *Picture, out emit) {
				for _, l := range p.Lists {
					fill(l, out)
				}
			}, nil}
	}
	return []series{
		each("generation", "Active generation of the list; 0 if there is none.", func(l List, out emit) { out(float64(l.Generation), l.Kind) }),
		each("rows", "Rows of the active generation.", func(l List, out emit) { out(float64(l.Rows), l.Kind) }),
		each("age_seconds", "Since headquarters last vouched for the list; absent if never.", func(l List, out emit) {
			if l.AgeMS >= 0 {
				out(float64(l.AgeMS)/1e3, l.Kind)
			}
		}),
		each("aging", "1 if the list is over its soft age or worse.", func(l List, out emit) { out(bit(l.State != Fresh), l.Kind) }),
		each("stale", "1 if the list is over its hard age or missing: nobody is expedited.", func(l List, out emit) {
			out(bit(l.State != Fresh && l.State != Aging), l.Kind)
		}),
		each("rejected", "1 if the newest list that was sent was refused.", func(l List, out emit) { out(bit(l.Rejected), l.Kind) }),
	}
}

func outboxSeries() []series {
	one := func(name, help string, kind prometheus.ValueType, of func(p *Picture) float64) series {
		return series{name, help, nil, kind, func(p *Picture, out emit) { out(of(p)) }, nil}
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	return []series{
		one("link_up", "1 if a connection to a broker stands.", gauge, func(p *Picture) float64 { return bit(p.Outbox.Link) }),
		one("outbox_events", "Events that headquarters has not receipted, the watch desk's left out.", gauge, func(p *Picture) float64 { return float64(p.Outbox.Waiting) }),
		one("outbox_oldest_seconds", "Age of the oldest of them; 0 if there is none.", gauge, func(p *Picture) float64 { return float64(max(p.Outbox.OldestMS, 0)) / 1e3 }),
		one("outbox_quarantined_events", "Events that headquarters refused and that are kept aside.", gauge, func(p *Picture) float64 { return float64(p.Outbox.Quarantined) }),
		{"receipt_age_seconds", "Since headquarters' last receipt; absent before the first.", nil, gauge,
			func(p *Picture, out emit) {
				if p.Outbox.ReceiptMS >= 0 {
					out(float64(p.Outbox.ReceiptMS) / 1e3)
				}
			}, nil},
		one("store_up", "1 if the journal takes events.", gauge, func(p *Picture) float64 { return bit(p.Store.OK) }),
		one("store_bytes", "Size of the journal.", gauge, func(p *Picture) float64 { return float64(p.Store.Bytes) }),
		one("store_max_bytes", "Largest size the journal may have.", gauge, func(p *Picture) float64 { return float64(p.Store.MaxBytes) }),
		one("store_free_bytes", "Room left on the file system.", gauge, func(p *Picture) float64 { return float64(p.Store.FreeBytes) }),
		one("store_flash_bytes_per_day", "At most how many bytes are written to the medium a day, by the last 24 hours; 0 in the first minutes.", gauge, func(p *Picture) float64 { return float64(p.Store.FlashDay) }),
		{"store_holds_seconds", "Until journal or disk is full if nothing is receipted, at the rate of the last day; absent while not known.", nil, gauge,
			func(p *Picture, out emit) {
				if p.Store.HoldsMS >= 0 {
					out(float64(p.Store.HoldsMS) / 1e3)
				}
			}, nil},
		one("reads_unplaced_total", "Reads that were of no vehicle or not surely of the one in the lane, since start.", counter, func(p *Picture) float64 { return float64(p.Totals.Unplaced) }),
		one("reads_dropped_total", "Repeated reads that overflowed the lane's inbox, since start.", counter, func(p *Picture) float64 { return float64(p.Store.Dropped) }),
	}
}
