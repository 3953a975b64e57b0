package line

import (
	"encoding/hex"
	"errors"
	"fmt"
)

var errCheck = errors.New("checksum is wrong")

// bareCheck is the one checksum that is not written in digits.
const bareCheck = "xor"

// checkSize is how many bytes a checksum takes at the end of a report.
func checkSize(kind string) (int, error) {
	switch kind {
	case "none":
		return 0, nil
	case bareCheck:
		return 1, nil
	case "xor-hex", "sum-hex", "twos-hex":
		return 2, nil
	case "crc16-ibm", "crc16-ccitt-false", "crc16-xmodem":
		return 4, nil
	}
	return 0, fmt.Errorf("no checksum %q", kind)
}

// uncheck cuts the checksum off a report and compares it. It covers what is
// between start and checksum.
func uncheck(kind string, report []byte) ([]byte, error) {
	n, err := checkSize(kind)
	if err != nil || n == 0 {
		return report, err
	}
	if len(report) < n {
		return nil, errCheck
	}
	body, sum := report[:len(report)-n], report[len(report)-n:]
	want := checksum(kind, body)
	if kind == bareCheck {
		if uint16(sum[0]) != want {
			return nil, errCheck
		}
		return body, nil
	}
	var raw [2]byte
	if _, err := hex.Decode(raw[2-n/2:], sum); err != nil || uint16(raw[0])<<8|uint16(raw[1]) != want {
		return nil, errCheck
	}
	return body, nil
}

// checksum computes one of a kind that checkSize knows.
func checksum(kind string, b []byte) uint16 {
	switch kind {
	case "crc16-ibm":
		return crcIBM(b)
	case "crc16-ccitt-false":
		return crcCCITT(b, 0xFFFF)
	case "crc16-xmodem":
		return crcCCITT(b, 0)
	}
	var xor, sum byte
	for _, c := range b {
		xor ^= c
		sum += c
	}
	switch kind {
	case "sum-hex":
		return uint16(sum)
	case "twos-hex":
		return uint16(-sum)
	}
	return uint16(xor)
}

// crcIBM has polynomial 8005 reflected, and begins with 0.
func crcIBM(b []byte) uint16 {
	var crc uint16
	for _, c := range b {
		crc ^= uint16(c)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xA001
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}

// crcCCITT has polynomial 1021, high bit first; what it begins with tells
// CCITT-FALSE from XMODEM.
func crcCCITT(b []byte, crc uint16) uint16 {
	for _, c := range b {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
