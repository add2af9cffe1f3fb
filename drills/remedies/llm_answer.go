package remedies

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// chatAnswer is an answer of /chat/completions, put together if it was a stream.
type chatAnswer struct {
	model, fingerprint, text, finish string
	header                           http.Header
}

// chatObject is an answer, or one event of a stream.
type chatObject struct {
	Model       string `json:"model"`
	Fingerprint string `json:"system_fingerprint"`
	Choices     []struct {
		Message chatText `json:"message"`
		Delta   chatText `json:"delta"`
		Finish  string   `json:"finish_reason"`
	} `json:"choices"`
	Error *chatError `json:"error"`
}

type chatText struct {
	Content string `json:"content"`
	// Reasoning is what models that think put their first tokens into.
	Reasoning string `json:"reasoning_content"`
}

type chatError struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	// Code is text or a number, as vendors please.
	Code any `json:"code"`
}

func (e chatError) String() string {
	word := e.Type
	if code, ok := e.Code.(string); ok && code != "" {
		word = code
	}
	return strings.Trim(word+": "+oneLine([]byte(e.Message)), ": ")
}

// errorOf says what an answer without success came to.
func errorOf(status int, body []byte) error {
	var o chatObject
	if json.Unmarshal(body, &o) == nil && o.Error != nil {
		return fmt.Errorf("%d %s", status, o.Error)
	}
	return errors.New(strings.Trim(fmt.Sprintf("%d %s: %s", status, http.StatusText(status), oneLine(body)), ": "))
}

// add takes in what an answer or an event says.
func (a *chatAnswer) add(o chatObject) error {
	if o.Error != nil {
		return fmt.Errorf("200, and then an error: %s", o.Error)
	}
	if o.Model != "" {
		a.model = o.Model
	}
	if o.Fingerprint != "" {
		a.fingerprint = o.Fingerprint
	}
	for _, c := range o.Choices {
		a.text += c.Message.Reasoning + c.Message.Content + c.Delta.Reasoning + c.Delta.Content
		if c.Finish != "" {
			a.finish = c.Finish
		}
	}
	return nil
}

func readAnswer(body []byte) (chatAnswer, error) {
	var a chatAnswer
	var o chatObject
	if err := json.Unmarshal(body, &o); err != nil {
		return a, fmt.Errorf("200, but the answer is not whole JSON (%w): %.60q", err, oneLine(body))
	}
	if len(o.Choices) == 0 && o.Error == nil {
		return a, errors.New("200, but the answer has no choice")
	}
	return a, a.add(o)
}

// readStream reads server-sent events up to data: [DONE]. A stream that ends without,
// and has not said why it ends, is not whole.
func readStream(from io.Reader) (chatAnswer, error) {
	var a chatAnswer
	lines := bufio.NewScanner(io.LimitReader(from, answerLimit))
	lines.Buffer(nil, answerLimit)
	for lines.Scan() {
		line := strings.TrimSuffix(lines.Text(), "\r")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" || name == "" || name == "event" || name == "id" || name == "retry":
			continue // the end of an event, a comment, or a field without meaning here
		case name != "data":
			return a, fmt.Errorf("200, but the stream has a line that is none of an event: %s", strconv.Quote(oneLine([]byte(line))))
		case value == "[DONE]":
			return a, nil
		}
		var o chatObject
		if err := json.Unmarshal([]byte(value), &o); err != nil {
			return a, fmt.Errorf("200, but the stream has an event that is not JSON (%w): %.60q", err, value)
		}
		if err := a.add(o); err != nil {
			return a, err
		}
	}
	if err := lines.Err(); err != nil {
		return a, fmt.Errorf("200, but the stream broke off after %d characters: %w", len(a.text), err)
	}
	if a.finish != "" {
		return a, nil
	}
	return a, fmt.Errorf("200, but the stream ended after %d characters without a finish reason or [DONE]", len(a.text))
}
