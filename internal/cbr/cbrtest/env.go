package cbrtest

// Env returns the function's environment variables for the account of [CBR.AddExample] at the address url: its token, project
// and region, and its destination on the allow-list. The caller may change the map.
func Env(url string) map[string]string {
	return map[string]string{
		"HW_AUTH_TOKEN":        Token,
		"HW_AUTH_URL":          url,
		"HW_PROJECT_ID":        SourceProject,
		"HW_REGION_NAME":       SourceRegion,
		"HW_CBR_ENDPOINT":      url,
		"ALLOWED_DESTINATIONS": DestinationRegion + "/" + DestinationProject,
	}
}

// DestinationEnv returns the variables that set the example's destination for all requests. The caller may change the map.
func DestinationEnv() map[string]string {
	return map[string]string{
		"HW_CBR_DESTINATION_REGION":     DestinationRegion,
		"HW_CBR_DESTINATION_PROJECT_ID": DestinationProject,
		"HW_CBR_DESTINATION_VAULT_ID":   DestinationVault,
	}
}
