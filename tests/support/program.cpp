#include "support/program.hpp"
#include "support/paths.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <stdexcept>
#include <system_error>

extern char** environ;

namespace weir::test {
namespace {

constexpr std::chrono::seconds patience{60};

/// Both ends close on exec; the child's end is duplicated onto its descriptor.
std::array<int, 2> make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        throw std::system_error(errno, std::generic_category(), "pipe2");
    return ends;
}

std::vector<std::string> environment_of(program::variables changed) {
    changed.try_emplace("REDIS_URL");
    changed.try_emplace("REDIS_PASSWORD");
    std::vector<std::string> result;
    for (char** each = environ; *each; ++each) {
        std::string entry = *each;
        if (!changed.contains(entry.substr(0, entry.find('='))))
            result.push_back(std::move(entry));
    }
    for (auto const& [name, value] : changed)
        if (!value.empty())
            result.push_back(name + '=' + value);
    return result;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (auto& text : texts)
        result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

/// False: the pipe is closed.
bool read_some(int& pipe, std::string& into) {
    std::array<char, 65536> block{};
    auto size = ::read(pipe, block.data(), block.size());
    if (size > 0) {
        into.append(block.data(), static_cast<std::size_t>(size));
        return true;
    }
    ::close(pipe);
    pipe = -1;
    return false;
}

} // namespace

program::program(std::vector<std::string> const& arguments, variables environment)
    : program(program_path(), arguments, std::move(environment)) {}

program::program(std::string const& executable, std::vector<std::string> const& arguments, variables environment) {
    std::vector<std::string> words{executable};
    words.insert(words.end(), arguments.begin(), arguments.end());
    auto values = environment_of(std::move(environment));
    auto out = make_pipe();
    auto err = make_pipe();
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    // Sockets of this process must not stay open in that one: what is closed here would not be closed for the peer.
    ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    auto failed =
        ::posix_spawnp(&pid_, executable.c_str(), &actions, nullptr, pointers(words).data(), pointers(values).data());
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(out[1]);
    ::close(err[1]);
    out_pipe_ = out[0];
    err_pipe_ = err[0];
    if (failed)
        throw std::system_error(failed, std::generic_category(), executable);
}

program::~program() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    for (int pipe : {out_pipe_, err_pipe_})
        if (pipe >= 0)
            ::close(pipe);
}

void program::pump(std::function<bool()> const& done) {
    auto end = std::chrono::steady_clock::now() + patience;
    while (!done() && (out_pipe_ >= 0 || err_pipe_ >= 0)) {
        auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        std::array<pollfd, 2> waiting{{{out_pipe_, POLLIN, 0}, {err_pipe_, POLLIN, 0}}};
        auto ready = left.count() > 0 ? ::poll(waiting.data(), waiting.size(), static_cast<int>(left.count())) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            throw std::runtime_error("the program did not do what was waited for; it said: " + out_ + err_);
        if (waiting[0].revents)
            read_some(out_pipe_, out_);
        if (waiting[1].revents)
            read_some(err_pipe_, err_);
    }
}

std::string program::wait_for_error_line(std::string const& text) {
    auto find = [&] {
        auto at = err_.find(text);
        return at == std::string::npos || err_.find('\n', at) == std::string::npos ? std::string::npos : at;
    };
    pump([&] { return find() != std::string::npos; });
    auto at = find();
    if (at == std::string::npos)
        throw std::runtime_error("the program ended without a line \"" + text + "\"; it said: " + out_ + err_);
    return err_.substr(at, err_.find('\n', at) - at);
}

void program::signal(int number) { ::kill(pid_, number); }

int program::wait() {
    pump([] { return false; });
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

program_result run_program(std::vector<std::string> const& arguments, program::variables environment) {
    program run(arguments, std::move(environment));
    auto code = run.wait();
    return {code, run.out(), run.err()};
}

} // namespace weir::test
