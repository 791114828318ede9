// Command doctor looks at the user's own account before anything is deployed: see package internal/doctor.
package main

import (
	"cbr-replicator/internal/doctor"
	"cbr-replicator/internal/program"
)

func main() { program.Main(doctor.Run) }
