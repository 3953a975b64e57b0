//go:build !cgo

package sqlite

// Without cgo the driver compiles to a stub that fails at the first query, on
// the road. The undefined name stops the build instead and says why.
var _ = boothd_needs_cgo_for_SQLite_set_CGO_ENABLED_1
