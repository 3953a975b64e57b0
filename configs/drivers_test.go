package configs_test

import (
	"boothd/agent"
	"boothd/configs"
)

// The configurations of the tests name the drivers that there are.
func init() { configs.SetDrivers(agent.Drivers) }
