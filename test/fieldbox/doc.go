// Package fieldbox runs a virtual field box: a machine that stands in for the
// box in the booth where a test needs the real thing. It has a Debian kernel
// and systemd, a gpiochip (gpio-sim) with named lines, 16550 UARTs, a USB port
// with a serial adapter that can be pulled out, a watchdog, and a disk whose
// power can be cut. The script build makes it of Debian packages; it runs under
// QEMU, without privileges and without a network.
//
// What it cannot show: no timing of it is that of a real box (it is emulated),
// its UARTs keep no line speed and know no framing error, its GPIO lines no
// electrical fault and no drive.
//
// The tests of boothd in it have the build tag "fieldbox": make test-field.
package fieldbox
