package authority

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boothd/agent/contract"
	"boothd/agent/passage"
	"boothd/agent/token"
)

var tradeCSV = map[string]string{
	"documents.csv":  "issuer,number,epc\nCAN,980000017,E28011700000020AB7F0D581\n",
	"carriers.csv":   "carrier,status,programs,valid_from,valid_until\n12-4,ACTIVE,CSA PIP,,2099-06-30\n",
	"importers.csv":  "importer,status,programs,valid_from,valid_until\n123456782RM0001,ACTIVE,PIP,,\n",
	"tractors.csv":   "carrier,plate,jurisdiction\n12-4,TRK 100,ON\n12-4,TRK 101,ON\n",
	"trips.csv":      "trip,carrier,empty,trailer,seal_required,high_seal,screening,containers,valid_from,valid_until\n12-4T1,12-4,no,yes,yes,yes,no,CSQU3054383,,\n",
	"shipments.csv":  "trip,cargo,importer,eligible,goods\n12-4T1,12-4PARS1,123456782RM0001,yes,yes\n12-4T1,12-4PARS2,123456782RM0001,no,yes\n",
	"containers.csv": "container,status,seal,seal_class,size_type,source,valid_from,valid_until\nCSQU3054383,PRESCREENED,H-12 34,H,45G1,CSI,,\n",
	"lookouts.csv": "id,version,subject_type,subject,jurisdiction,action,reason_code,caveat,agency,region,officer_safety,valid_from,valid_until\n" +
		"L-1,1,CARRIER,12-4,,REFER,CARRIER,,CBSA,,no,2026-07-01,2026-08-01\n" +
		"L-2,1,DOCUMENT,CAN/980000017,,STOP,DOCUMENT,,CBSA,,no,2026-07-01,2026-08-01\n" +
		"L-3,1,CONTAINER,CSQU3054383,,OBSERVE,CONTAINER,,CBSA,,no,2026-07-01,2026-08-01\n",
}

func TestListsOfTrade(t *testing.T) {
	top := t.TempDir()
	raw := strings.Repeat("1f", 32)
	keyFile := filepath.Join(put(t, top, map[string]string{"token.key": raw}), "token.key")
	key, err := token.ParseKey([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(top, "built")
	if _, err := Build(put(t, filepath.Join(top, "csv"), tradeCSV), out, keyFile, nil); err != nil {
		t.Fatal(err)
	}
	plate := key.Plate("TRK100", "ON", 1)
	want := map[string][]passage.Token{
		contract.ListDocuments:  {key.Document("CAN", "980000017")},
		contract.ListCarriers:   {key.Carrier("12-4")},
		contract.ListImporters:  {key.Importer("123456782RM0001")},
		contract.ListVehicles:   {key.Tractor(key.Carrier("12-4"), plate.Full), key.Tractor(key.Carrier("12-4"), plate.Bare)},
		contract.ListTrips:      {key.Cargo("12-4T1"), key.Cargo("12-4PARS1"), key.Cargo("12-4PARS2")},
		contract.ListContainers: {key.Container("CSQU3054383")},
		contract.ListLookouts:   {key.Carrier("12-4"), key.Document("CAN", "980000017"), key.Container("CSQU3054383")},
	}
	for kind, tokens := range want {
		b, err := os.ReadFile(filepath.Join(out, kind+".list"))
		if err != nil {
			t.Fatal(err)
		}
		rows := map[passage.Token][]byte{}
		all, err := contract.ReadList(bytes.NewReader(b))
		if err != nil {
			t.Fatal(kind, err)
		}
		for row, err := range all.Rows() {
			if err != nil {
				t.Fatal(kind, err)
			}
			if err := contract.CheckListRow(kind, row.Value); err != nil {
				t.Error(kind, err)
			}
			rows[contract.TokenHex(row.Token)] = bytes.Clone(row.Value)
		}
		for _, token := range tokens {
			if rows[token] == nil {
				t.Errorf("%s: a row is missing", kind)
			}
		}
		if kind == contract.ListTrips {
			trip, err := contract.ParseTripRow(rows[tokens[0]])
			if err != nil || len(trip.Shipments) != 2 || len(trip.Containers) != 1 || !trip.HighSeal {
				t.Errorf("%+v, %v", trip, err)
			}
		}
	}
}

func TestTradeFaultsAreToldByRow(t *testing.T) {
	for file, tt := range map[string]struct{ row, want string }{
		"documents.csv":  {"CANADA,98,E28011700000020AB7F0D581", "issuer is no state's code"},
		"carriers.csv":   {"12345,ACTIVE,PIP,,", "carrier is missing or not an identifier"},
		"importers.csv":  {"123456789RM0001,ACTIVE,PIP,,", "importer is no business number"},
		"tractors.csv":   {"12-4,TRK 100,ON", "is in row 2 too"},
		"trips.csv":      {"12-4T2,12-4,no,no,no,no,no,CSQU3054384,,", "containers has one that is no container number"},
		"shipments.csv":  {"12-4T9,12-4PARS9,123456782RM0001,yes,yes", "trip is not in trips.csv"},
		"containers.csv": {"CSQU3054384,HOLD,,,,,,", "container is no container number"},
	} {
		csv := maps.Clone(tradeCSV)
		csv[file] += tt.row + "\n"
		top := t.TempDir()
		put(t, top, map[string]string{"token.key": strings.Repeat("1f", 32)})
		_, err := Build(put(t, filepath.Join(top, "csv"), csv), filepath.Join(top, "built"), filepath.Join(top, "token.key"), nil)
		if err == nil || !strings.Contains(err.Error(), file+":") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", file, err)
		}
		if _, err := os.Stat(filepath.Join(top, "built")); err == nil {
			t.Errorf("%s: something was built", file)
		}
	}
}
