// Package memsizeui stands in for the real one, which Go 1.23 and later refuse to link because it
// reaches into the runtime. go-ethereum's debug server only needs the type and its two methods.
package memsizeui

import "net/http"

// Handler answers nothing.
type Handler struct{}

// Add forgets what it is given.
func (*Handler) Add(string, interface{}) {}

// ServeHTTP has nothing to show.
func (*Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }
