// Command custom is a function for FunctionGraph's runtime Custom that the tests of package sandbox run. It speaks the
// runtime API as the example of the documentation does, and does what an event's payload says.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	root := "http://" + os.Getenv("RUNTIME_API_ADDR") + "/v1/runtime/invocation/"
	tries := 0
	for {
		resp, err := http.Get(root + "request")
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		payload, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		id := resp.Header.Get("X-Cff-Request-Id")
		if err != nil || resp.StatusCode != http.StatusOK || id == "" {
			fmt.Println("no event:", resp.StatusCode, err != nil)
			continue
		}
		var order struct {
			Do   string
			Size int
		}
		_ = json.Unmarshal(payload, &order) // what is no order is echoed
		route, answer := "response/", payload
		tries++
		switch order.Do {
		case "environ":
			answer, _ = json.Marshal(os.Environ())
		case "header":
			answer, _ = json.Marshal(resp.Header)
		case "fail":
			route, answer = "error/", []byte(`{"errorType":"busyError","errorMessage":"the vault is busy"}`)
		case "fail twice":
			if tries <= 2 {
				route, answer = "error/", []byte("busy, "+id)
			}
		case "big":
			answer = make([]byte, order.Size)
		case "hang":
			time.Sleep(time.Hour)
		case "exit":
			os.Exit(3)
		case "poll":
			if resp, err := http.Get(root + "request"); err == nil {
				resp.Body.Close()
				answer = []byte(resp.Status)
			}
		case "wrong":
			for _, path := range []string{"response/none", "init/error"} {
				if resp, err := http.Post(root+path, "", nil); err == nil {
					resp.Body.Close()
				}
			}
		}
		if resp, err := http.Post(root+route+id, "application/json", bytes.NewReader(answer)); err == nil {
			fmt.Println("posted:", resp.StatusCode)
			resp.Body.Close()
		}
	}
}
