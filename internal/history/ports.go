package history

import (
	"context"

	"tocsin/internal/kit"
)

// Rights decides whether the actor of the context may do something.
type Rights interface {
	Require(ctx context.Context, use kit.Use, held ...kit.Role) error
}
