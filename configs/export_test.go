package configs

// drivers are those that the tests' configurations may name. They are known in a
// package that this one may not import.
var drivers Kinds

// SetDrivers sets them.
func SetDrivers(ks Kinds) { drivers = ks }
