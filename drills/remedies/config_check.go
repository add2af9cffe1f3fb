package remedies

import (
	"context"
	"errors"
	"fmt"

	"firedrill/drills"
	"firedrill/drills/spec"
)

func (k *ConfigCheck) valid() error {
	switch {
	case k == nil:
		return nil
	case (len(k.Command) > 0) == (k.URL != ""):
		return errors.New("with.check: give either command or url")
	case len(k.Command) > 0:
		if k.Command[0] == "" {
			return errors.New("with.check.command: name the program to run")
		}
		return nil
	}
	if err := validURL(k.URL); err != nil {
		return fmt.Errorf("with.check.url: %w", err)
	}
	if err := validExpression(k.ExpectBody); err != nil {
		return fmt.Errorf("with.check.expectBody: %w", err)
	}
	return nil
}

// at is the check with its placeholders replaced.
func (k *ConfigCheck) at(t drills.Target) (*ConfigCheck, error) {
	if k == nil {
		return nil, nil
	}
	out := *k
	var err error
	if out.Command, err = placed(t, k.Command...); err != nil {
		return nil, err
	}
	asked, err := (&HTTPCheck{URL: k.URL, ExpectBody: k.ExpectBody}).at(t)
	if err != nil {
		return nil, err
	}
	out.URL, out.ExpectBody = asked.URL, asked.ExpectBody
	return &out, nil
}

// holds returns nil if all is well now.
func (k *ConfigCheck) holds(ctx context.Context, timeout spec.Duration) error {
	if len(k.Command) > 0 {
		_, err := runCommand(ctx, k.Command, timeout.Std())
		return err
	}
	call := httpCall{Check: &HTTPCheck{URL: k.URL, ExpectStatus: k.ExpectStatus, ExpectBody: k.ExpectBody}, Timeout: timeout}
	return call.holds(ctx)
}
