package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

type words struct {
	verb, help string
	flags      []string
}

// vocabulary is every verb with its flags, from the grammar itself.
func (r *run) vocabulary() (verbs []words, global []string, err error) {
	k, err := kong.New(&grammar{}, kong.Name("tocsin"))
	if err != nil {
		return nil, nil, err
	}
	speak(k.Model, r.lang)
	flags := func(n *kong.Node) (out []string) {
		for _, f := range n.Flags {
			out = append(out, "--"+f.Name)
		}
		slices.Sort(out)
		return out
	}
	global = append(flags(k.Model.Node), "--help")
	slices.Sort(global)
	for _, c := range k.Model.Children {
		w := words{verb: c.Name, help: c.Help, flags: flags(c)}
		for _, sub := range c.Children {
			w.flags = append(append(w.flags, sub.Name), flags(sub)...)
		}
		if c.Name == "completion" {
			w.flags = append(w.flags, "bash", "fish", "zsh")
		}
		verbs = append(verbs, w)
	}
	return verbs, slices.Compact(global), nil
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// completion writes the script by which a shell completes verbs and flags.
func (r *run) completion() error {
	verbs, global, err := r.vocabulary()
	if err != nil {
		return err
	}
	var names []string
	for _, v := range verbs {
		names = append(names, v.verb)
	}
	all := strings.Join(global, " ")
	var b strings.Builder
	switch r.g.Completion.Shell {
	case "fish":
		b.WriteString("complete -c tocsin -f\n")
		for _, f := range global {
			fmt.Fprintf(&b, "complete -c tocsin -l %s\n", strings.TrimPrefix(f, "--"))
		}
		for _, v := range verbs {
			fmt.Fprintf(&b, "complete -c tocsin -n __fish_use_subcommand -a %s -d %s\n", v.verb, fishQuote(v.help))
			for _, f := range v.flags {
				if flag, ok := strings.CutPrefix(f, "--"); ok {
					fmt.Fprintf(&b, "complete -c tocsin -n '__fish_seen_subcommand_from %s' -l %s\n", v.verb, flag)
				} else {
					fmt.Fprintf(&b, "complete -c tocsin -n '__fish_seen_subcommand_from %s' -a %s\n", v.verb, f)
				}
			}
		}
	case "zsh":
		b.WriteString("#compdef tocsin\n_tocsin() {\n  local verb=${words[2]}\n  if (( CURRENT == 2 )); then\n    local -a verbs=(\n")
		for _, v := range verbs {
			fmt.Fprintf(&b, "      %s\n", quote(v.verb+":"+v.help))
		}
		fmt.Fprintf(&b, "    )\n    _describe verb verbs\n    return\n  fi\n  case $verb in\n")
		for _, v := range verbs {
			fmt.Fprintf(&b, "    %s) compadd -- %s %s ;;\n", v.verb, strings.Join(v.flags, " "), all)
		}
		b.WriteString("  esac\n  _files\n}\nif [ \"$funcstack[1]\" = _tocsin ]; then _tocsin \"$@\"; else compdef _tocsin tocsin; fi\n")
	default:
		fmt.Fprintf(&b, "_tocsin() {\n  local cur=${COMP_WORDS[COMP_CWORD]} words\n  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    words=%s\n  else\n    case ${COMP_WORDS[1]} in\n", quote(strings.Join(names, " ")))
		for _, v := range verbs {
			fmt.Fprintf(&b, "      %s) words=%s ;;\n", v.verb, quote(strings.TrimSpace(strings.Join(v.flags, " ")+" "+all)))
		}
		b.WriteString("    esac\n  fi\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -o default -F _tocsin tocsin\n")
	}
	_, err = fmt.Fprint(r.out, b.String())
	return err
}

// fishQuote quotes for fish, where a backslash quotes inside of quotes too.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
