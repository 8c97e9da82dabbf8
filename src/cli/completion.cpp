#include "cli/completion.hpp"

#include "cli/arguments.hpp"
#include "cli/commands.hpp"
#include "cli/failure.hpp"
#include "cli/json_text.hpp"

#include <algorithm>
#include <functional>
#include <iostream>

namespace weir::cli {
namespace {

/// Calls `visit(path, command)` for the program and every command below it; the path is "weir limit peek".
void walk(command_words const& command, std::string const& path,
          std::function<void(std::string const&, command_words const&)> const& visit) {
    visit(path, command);
    for (auto const& each : command.commands)
        walk(each, path + ' ' + each.name, visit);
}

/// In single quotes, as every shell here reads them.
std::string quoted(std::string const& text) {
    std::string out = "'";
    for (char const c : text)
        out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + '\'';
}

std::string joined(std::vector<std::string> const& words) {
    std::string out;
    for (auto const& each : words)
        out += (out.empty() ? "" : " ") + each;
    return out;
}

struct word_lists {
    std::vector<std::string> commands, options, values, files;
};

word_lists words_of(command_words const& command) {
    word_lists lists;
    for (auto const& each : command.commands)
        lists.commands.push_back(each.name);
    for (auto const& option : command.options)
        for (auto const& name : option.names) {
            lists.options.push_back(name);
            if (option.takes_value)
                (option.is_file ? lists.files : lists.values).push_back(name);
        }
    return lists;
}

/// The case of a shell in which each command sets what may follow it.
std::string case_table(command_words const& program) {
    std::string out;
    walk(program, program.name, [&](std::string const& path, command_words const& command) {
        auto const lists = words_of(command);
        out += "        " + quoted(path) + ") commands=" + quoted(joined(lists.commands)) +
               " options=" + quoted(joined(lists.options)) + " values=" + quoted(' ' + joined(lists.values) + ' ') +
               " files=" + quoted(' ' + joined(lists.files) + ' ') +
               " argument=" + (command.takes_file ? "file" : "none") + " ;;\n";
    });
    return out;
}

/// The command that the words before the cursor name; `words` and `index` are the shell's, `first` the index of "weir".
std::string path_loop(std::string const& words, std::string const& index, char const* first) {
    return "    local command=weir word commands options values files argument i\n"
           "    for ((i = " +
           std::string(first) + " + 1; i < " + index +
           "; ++i)); do\n"
           "        _weir_words \"$command\"\n"
           "        word=\"${" +
           words +
           "[i]}\"\n"
           "        [[ $word != -* && \" $commands \" == *\" $word \"* ]] && command=\"$command $word\"\n"
           "    done\n"
           "    _weir_words \"$command\"\n";
}

std::string bash_script(command_words const& program) {
    return "# bash completion for weir: source <(weir completion bash)\n"
           "_weir_words() {\n    case \"$1\" in\n" +
           case_table(program) + "    esac\n}\n_weir() {\n" + path_loop("COMP_WORDS", "COMP_CWORD", "0") +
           R"(    local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"
    COMPREPLY=()
    if [[ $files == *" $before "* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    elif [[ $values == *" $before "* ]]; then
        :
    elif [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    elif [[ -n $commands ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
    elif [[ $argument == file ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    fi
}
complete -o filenames -F _weir weir
)";
}

std::string zsh_script(command_words const& program) {
    return "#compdef weir\n# zsh completion for weir: weir completion zsh > \"${fpath[1]}/_weir\"\n"
           "_weir_words() {\n    case \"$1\" in\n" +
           case_table(program) + "    esac\n}\n_weir() {\n" + path_loop("words", "CURRENT", "1") +
           R"(    local current="${words[CURRENT]}" before="${words[CURRENT-1]}"
    if [[ $files == *" $before "* ]]; then
        _files
    elif [[ $values == *" $before "* ]]; then
        _message value
    elif [[ $current == -* ]]; then
        compadd -- ${=options}
    elif [[ -n $commands ]]; then
        compadd -- ${=commands}
    elif [[ $argument == file ]]; then
        _files
    else
        compadd -- ${=options}
    fi
}
if [[ ${funcstack[1]} == _weir ]]; then _weir "$@"; else compdef _weir weir; fi
)";
}

std::string fish_script(command_words const& program) {
    std::string out = "# fish completion for weir: weir completion fish > ~/.config/fish/completions/weir.fish\n"
                      "function __weir_at\n"
                      "    set -l words (commandline -opc | string match -v -- '-*')\n"
                      "    set -l n (count $argv)\n"
                      "    test \"$words[1..$n]\" = \"$argv\"\n"
                      "end\n"
                      "complete -c weir -f\n";
    walk(program, program.name, [&](std::string const& path, command_words const& command) {
        auto const depth = 1 + static_cast<int>(std::count(path.begin(), path.end(), ' '));
        auto const here = " -n " + quoted("__weir_at " + path);
        auto const next =
            " -n " + quoted("__weir_at " + path + "; and test (count (commandline -opc)) -eq " + std::to_string(depth));
        for (auto const& each : command.commands)
            out += "complete -c weir" + next + " -a " + quoted(each.name) + " -d " + quoted(each.description) + '\n';
        for (auto const& option : command.options) {
            out += "complete -c weir" + here;
            for (auto const& name : option.names)
                out += name.starts_with("--") ? " -l " + quoted(name.substr(2)) : " -s " + quoted(name.substr(1));
            out += option.is_file ? " -r -F" : option.takes_value ? " -x" : "";
            out += " -d " + quoted(option.description) + '\n';
        }
        if (command.takes_file)
            out += "complete -c weir" + here + " -F\n";
    });
    return out;
}

} // namespace

std::string completion_script(command_words const& program, std::string const& shell) {
    if (shell == "bash")
        return bash_script(program);
    if (shell == "zsh")
        return zsh_script(program);
    if (shell == "fish")
        return fish_script(program);
    return {};
}

int run_command(completion_options const& options, bool json) {
    auto const script = completion_script(describe_commands(), options.shell);
    if (script.empty())
        throw failure("usage", "\"" + options.shell + "\" is no shell that is known here", "bash, zsh and fish are");
    if (json)
        std::cout << json_text({{"shell", options.shell}, {"script", script}});
    else
        std::cout << script;
    return exit_yes;
}

} // namespace weir::cli
