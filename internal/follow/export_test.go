package follow

// Wait is wait, for tests.
var Wait = wait
