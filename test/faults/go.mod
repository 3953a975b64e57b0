module boothd/test/faults

go 1.26.0

require (
	boothd v0.0.0
	github.com/hanwen/go-fuse/v2 v2.12.1
	github.com/mattn/go-sqlite3 v1.14.53
	golang.org/x/sys v0.49.0
)

require github.com/google/uuid v1.6.0 // indirect

replace boothd => ../..
