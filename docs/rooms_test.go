package docs_test

import (
	"os"
	"strings"
	"testing"
)

// TestEveryRoomIsInTheArchitecture: the map has each room, and no other.
func TestEveryRoomIsInTheArchitecture(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := os.ReadDir("../internal")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, room := range rooms {
		there[room.Name()] = true
		if !strings.Contains(string(text), "`internal/"+room.Name()+"/`") {
			t.Errorf("internal/%s/ is not named", room.Name())
		}
	}
	for _, part := range strings.Split(string(text), "`internal/")[1:] {
		name, _, _ := strings.Cut(strings.TrimSuffix(strings.SplitN(part, "`", 2)[0], "/"), "/")
		if !there[name] {
			t.Errorf("internal/%s/ is named, and not there", name)
		}
	}
}
