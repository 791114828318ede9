package events

import (
	"fmt"

	"cbr-replicator/internal/jsonscan"
)

// maxRecords is how many records a payload may have: the largest batch of an
// event source mapping and of a pipe (AWS Lambda API reference,
// CreateEventSourceMapping, BatchSize).
const maxRecords = 10_000

// readEvent returns the Records of an object. read reads one of them.
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
		// By default a batch of a queue has up to ten.
		if records, err = readList(r, make([]T, 0, 10), read); err != nil {
			return nil, err
		}
	}
	return records, r.End()
}

// readArray returns the records of a payload that is an array.
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

// givenTwice is the error of a payload in which a name is given twice: one of the
// two values would be lost.
func givenTwice(name string) error { return fmt.Errorf("%s is given twice", name) }
