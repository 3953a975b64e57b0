// Consumer prints every event of every booth once, as a central system would
// take them in: consumer tcp://127.0.0.1:1883
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// event is the envelope (CloudEvents 1.0); data is as its type says.
type event struct {
	Source string          `json:"source"` // /booth/ID
	Type   string          `json:"type"`
	Time   string          `json:"time"`
	Epoch  string          `json:"boothepoch"`
	Seq    uint64          `json:"boothseq"`
	Data   json.RawMessage `json:"data"`
}

// key is what an event is known by: a database has it as its primary key.
type key struct {
	source, epoch string
	seq           uint64
}

func main() {
	seen := map[key]bool{}
	in := make(chan mqtt.Message, 256)
	opts := mqtt.NewClientOptions().AddBroker(os.Args[1]).SetClientID("central-1").SetUsername("central-1").
		SetCleanSession(false).  // the broker keeps what comes while we are away
		SetAutoAckDisabled(true) // an event is ours once we have stored it
	opts.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { in <- m })
	opts.SetOnConnectHandler(func(c mqtt.Client) { c.Subscribe("booth/v1/+/evt/+", 1, nil) })
	client := mqtt.NewClient(opts)
	if t := client.Connect(); t.Wait() && t.Error() != nil {
		log.Fatal(t.Error())
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	for {
		select {
		case <-stop:
			client.Disconnect(250)
			return
		case m := <-in:
			var e event
			if err := json.Unmarshal(m.Payload(), &e); err != nil {
				log.Printf("%s: %v", m.Topic(), err) // told, and not asked for again
			} else if k := (key{e.Source, e.Epoch, e.Seq}); !seen[k] {
				seen[k] = true // INSERT ... ON CONFLICT DO NOTHING
				fmt.Println(e.Time, e.Source, e.Epoch, e.Seq, e.Type)
			}
			m.Ack() // after the commit, never before
		}
	}
}
