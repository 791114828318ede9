// Command accept replicates a vault of the user's choice and says what CBR's answers settle: see package internal/doctor.
package main

import (
	"cbr-replicator/internal/doctor"
	"cbr-replicator/internal/program"
)

func main() { program.Main(doctor.Accept) }
