package vendor

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
)

// problem is an error of the API, with the body that OpenAI's has.
type problem struct {
	status  int
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// The types of errors.
const (
	invalidRequest = "invalid_request_error"
	serverError    = "server_error"
)

func ptr(s string) *string { return &s }

// invalid is a request with a parameter that cannot be; "" is the body as a whole.
func invalid(param, format string, args ...any) *problem {
	p := &problem{status: http.StatusBadRequest, Type: invalidRequest, Message: fmt.Sprintf(format, args...)}
	if param != "" {
		p.Param = &param
	}
	return p
}

// missing is a request without a parameter that it needs.
func missing(param string) *problem {
	p := invalid(param, "Missing required parameter: '%s'.", param)
	p.Code = ptr("missing_required_parameter")
	return p
}

// badKey leaves out what real vendors repeat of the key: answers end up in records.
func badKey() *problem {
	return &problem{
		status: http.StatusUnauthorized, Type: invalidRequest, Code: ptr("invalid_api_key"),
		Message: "Incorrect API key provided. You can find your API key in your account's settings.",
	}
}

func noModel(model string) *problem {
	return &problem{
		status: http.StatusNotFound, Type: invalidRequest, Code: ptr("model_not_found"),
		Message: fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", model),
	}
}

// problem is the error that the mode answers with, nil if it is none of those.
func (m Mode) problem(model string) *problem {
	switch m.Name {
	case Unauthorized:
		return badKey()
	case Forbidden:
		return &problem{
			status: http.StatusForbidden, Type: "request_forbidden", Code: ptr("unsupported_country_region_territory"),
			Message: "Country, region, or territory not supported",
		}
	case ModelGone:
		return noModel(model)
	case RateLimited:
		return &problem{
			status: http.StatusTooManyRequests, Type: "requests", Code: ptr("rate_limit_exceeded"),
			Message: fmt.Sprintf("Rate limit reached for %s on requests per min (RPM): Limit 500, Used 500, Requested 1.", model),
		}
	case Quota:
		return &problem{
			status: http.StatusTooManyRequests, Type: "insufficient_quota", Code: ptr("insufficient_quota"),
			Message: "You exceeded your current quota, please check your plan and billing details.",
		}
	case Status:
		return ofStatus(m.Status)
	}
	return nil
}

// ofStatus is the error that vendors answer with such a status.
func ofStatus(status int) *problem {
	p := &problem{status: status, Type: serverError, Message: http.StatusText(status)}
	switch {
	case status == http.StatusInternalServerError:
		p.Message = "The server had an error while processing your request. Sorry about that!"
	case status == http.StatusServiceUnavailable:
		p.Message = "The engine is currently overloaded, please try again later"
	case status == 529:
		p.Type, p.Message = "overloaded_error", "Overloaded"
	case status < http.StatusInternalServerError:
		p.Type = invalidRequest
	case p.Message == "":
		p.Message = fmt.Sprint("Error ", status)
	}
	return p
}

// fail answers with an error.
func (x *exchange) fail(p problem) {
	if x.mode.Name == RateLimited {
		h := x.w.Header()
		h.Set("X-Ratelimit-Limit-Requests", "500")
		h.Set("X-Ratelimit-Remaining-Requests", "0")
		if d := x.mode.RetryAfter.Std(); d > 0 {
			seconds := fmt.Sprint(math.Ceil(d.Seconds()))
			h.Set("Retry-After", seconds)
			h.Set("X-Ratelimit-Reset-Requests", seconds+"s")
		}
	}
	body := encode(map[string]problem{"error": p})
	x.body(p.status, "application/json; charset=utf-8", body)
}

// page answers with a page for people.
func (x *exchange) page(status int, title, text string) {
	page := fmt.Sprintf("<!DOCTYPE html>\n<html>\n<head><title>%s</title></head>\n<body>\n<center><h1>%[1]s</h1></center>\n%s\n</body>\n</html>\n", title, text)
	x.body(status, "text/html; charset=utf-8", []byte(page))
}

// encode encodes the vendor's own types, which cannot fail.
func encode(value any) []byte {
	b, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", value, err))
	}
	return b
}

func (v *Vendor) has(model string) bool { return slices.Contains(v.cfg.Models, model) }
