// Package buffer holds what a booth keeps between itself and headquarters:
// evidence waiting to go out (journal) and lists that have come in
// (eligibility). The two are separate files because they fail differently:
// evidence must never be lost, a list is fetched again. Both know nothing of
// borders: bodies and list values are opaque bytes here.
//
// This package itself is empty; see the folders below it.
package buffer
