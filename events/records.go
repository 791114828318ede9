package events

import (
	"fmt"

	"cbr-replicator/internal/jsonscan"
)

// maxRecords is how many deliveries a payload may bring: the largest batch of an
// event source mapping and of a pipe (AWS Lambda API reference,
// CreateEventSourceMapping, BatchSize).
const maxRecords = 10_000

// readEvent reads an object whose Records are what it brings, each by read.
func readEvent[T any](payload []byte, read func(*T, *jsonscan.Reader)) ([]T, error) {
	var records []T
	r := jsonscan.New(payload)
	for name := range r.Members {
		if string(name) != "Records" {
			continue
		}
		if records != nil {
			return nil, givenTwice("Records")
		}
		var err error
		// A batch of a queue has ten, unless it was set otherwise.
		if records, err = readList(r, make([]T, 0, 10), read); err != nil {
			return nil, err
		}
	}
	return records, r.End()
}

// readArray reads a payload that is an array of records, each by read.
func readArray[T any](payload []byte, read func(*T, *jsonscan.Reader)) ([]T, error) {
	r := jsonscan.New(payload)
	records, err := readList(r, make([]T, 0, 10), read)
	if err != nil {
		return nil, err
	}
	return records, r.End()
}

// readList reads an array and appends its elements to list.
func readList[T any](r *jsonscan.Reader, list []T, read func(*T, *jsonscan.Reader)) ([]T, error) {
	for range r.Elements {
		if len(list) == maxRecords {
			return nil, fmt.Errorf("more than %d records", maxRecords)
		}
		var record T
		list = append(list, record)
		read(&list[len(list)-1], r)
	}
	return list, nil
}

// givenTwice is the error of a payload of which one of two members of the same
// name would be lost.
func givenTwice(name string) error { return fmt.Errorf("%s is given twice", name) }
