package faultpoint

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// apiError is OpenAI's error object.
type apiError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// instead returns the status and the error that a mode answers with, in the words
// of OpenAI's API.
func (f Fault) instead(model string) (int, apiError) {
	code := func(s string) *string { return &s }
	switch f.Mode {
	case Unauthorized:
		return http.StatusUnauthorized, apiError{
			Message: "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
			Type:    "invalid_request_error", Code: code("invalid_api_key"),
		}
	case Forbidden:
		return http.StatusForbidden, apiError{
			Message: "Country, region, or territory not supported", Type: "request_forbidden", Code: code("unsupported_country_region_territory"),
		}
	case ModelGone:
		return http.StatusNotFound, apiError{
			Message: fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", model),
			Type:    "invalid_request_error", Code: code("model_not_found"),
		}
	case RateLimited:
		return http.StatusTooManyRequests, apiError{
			Message: fmt.Sprintf("Rate limit reached for %s on requests per min (RPM). Please try again later.", model),
			Type:    "requests", Code: code("rate_limit_exceeded"),
		}
	case Quota:
		return http.StatusTooManyRequests, apiError{
			Message: "You exceeded your current quota, please check your plan and billing details. For more information on this error, " +
				"read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
			Type: "insufficient_quota", Code: code("insufficient_quota"),
		}
	}
	return f.Status, statusError(f.Status)
}

// statusError is what an API says with a status of which nothing more is known.
func statusError(status int) apiError {
	e := apiError{Message: http.StatusText(status), Type: "server_error"}
	switch {
	case status == http.StatusInternalServerError:
		e.Message = "The server had an error while processing your request. Sorry about that!"
	case status == http.StatusServiceUnavailable:
		e.Message = "The engine is currently overloaded, please try again later."
	case status == 529: // of no RFC; Anthropic's API and some gateways say it
		e.Message, e.Type = "Overloaded", "overloaded_error"
	case status < 500:
		e.Type = "invalid_request_error"
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("status %d", status)
	}
	return e
}

// answer answers in the member's place.
func (f Fault) answer(w http.ResponseWriter, model string) error {
	status, e := f.instead(model)
	body, kind := []byte(f.Body), "text/plain; charset=utf-8"
	if json.Valid(body) {
		kind = "application/json"
	}
	if f.Body == "" || f.Mode != Status {
		kind = "application/json"
		body, _ = json.MarshalIndent(map[string]apiError{"error": e}, "", "    ") // of strings: cannot fail
	}
	h := w.Header()
	delete(h, "Date") // the server's own, then
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if after := f.RetryAfter.Std(); after > 0 && (f.Mode == Status || f.Mode == RateLimited) {
		h.Set("Retry-After", strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10))
	}
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}
