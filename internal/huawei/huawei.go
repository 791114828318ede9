// Package huawei makes calls to Huawei Cloud. It has what is the same for each of its
// services: the endpoint of a region, the authorization of a request, one bounded
// call, and how an error's answer is read. A service's client adds its operations and
// the meaning of its codes.
package huawei

// Scope is a project in a region. A request is for one, and its credential must be
// valid there. The call goes to the region's endpoint, with the project in its path.
type Scope struct {
	ProjectID string
	Region    string
}

// The forms that IsProjectID and IsRegion accept, in words.
const (
	ProjectForm = "32 hex digits"
	RegionForm  = "a region, in lower-case letters, digits and hyphens, such as cn-north-4"
)

// IsProjectID reports whether s is 32 hex digits, as project ids are.
func IsProjectID(s string) bool {
	for i := range len(s) {
		if !IsHex(s[i]) {
			return false
		}
	}
	return len(s) == 32
}

// IsRegion reports whether s may be a region: it becomes part of a host name.
func IsRegion(s string) bool {
	for i := range len(s) {
		c := s[i]
		if lower, digit := 'a' <= c && c <= 'z', '0' <= c && c <= '9'; !lower && !digit && (c != '-' || i == 0) {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= 63
}

// IsHex reports whether c is a hex digit of either case.
func IsHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
