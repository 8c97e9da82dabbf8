#include "proxy/tcp_socket.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weir::proxy {
namespace {

/// A socket under test and the bare other end of its pair.
struct proxy_tcp_socket : testing::Test {
    proxy_tcp_socket() {
        int ends[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        other = ends[1];
        sockets.start(io);
        made.emplace(sockets, ends[0]);
    }
    ~proxy_tcp_socket() override {
        if (other >= 0)
            ::close(other);
        sockets.stop();
    }

    void say(std::string const& bytes) const {
        ASSERT_EQ(::send(other, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    }
    void hang_up() { ::close(std::exchange(other, -1)); }

    std::string read(std::size_t size = 100) {
        std::string text(size, '\0');
        text.resize(made->read_some(asio::buffer(text), ec));
        return text;
    }
    /// Until the socket has been told what has come.
    void wait(tcp_socket::wait_type what = tcp_socket::wait_read) {
        std::optional<error_code> ended;
        made->async_wait(what, [&](error_code how) { ended = how; });
        EXPECT_FALSE(ended) << "it completed before it returned";
        io.restart();
        io.run();
        ASSERT_TRUE(ended);
        EXPECT_FALSE(*ended) << ended->message();
    }

    poller sockets;
    asio::io_context io{1};
    std::optional<tcp_socket> made;
    int other = -1;
    error_code ec;
};

TEST_F(proxy_tcp_socket, reads_what_it_was_told_of_and_nothing_before) {
    say("hello");
    EXPECT_EQ(read(), "");
    EXPECT_EQ(ec, asio::error::would_block) << "nobody has looked yet";
    wait();
    EXPECT_EQ(read(), "hello");
    EXPECT_FALSE(ec);
    EXPECT_EQ(read(), "");
    EXPECT_EQ(ec, asio::error::would_block);
}

TEST_F(proxy_tcp_socket, what_comes_while_nobody_waits_is_remembered) {
    say("a");
    wait();
    EXPECT_EQ(read(), "a");
    say("b");
    // It is told of while the other direction is waited for.
    made->blocked(tcp_socket::wait_write);
    made->async_wait(tcp_socket::wait_write, [](error_code) {});
    io.restart();
    io.run();
    EXPECT_FALSE(made->quiet());
    EXPECT_EQ(read(), "b");
    EXPECT_TRUE(made->quiet());
}

TEST_F(proxy_tcp_socket, is_quiet_after_bytes_that_were_read_exactly_and_not_after_the_end) {
    say("ab");
    wait();
    EXPECT_EQ(read(2), "ab");
    EXPECT_TRUE(made->quiet());
    hang_up();
    wait();
    EXPECT_FALSE(made->quiet());
    EXPECT_EQ(read(), "");
    EXPECT_EQ(ec, asio::error::eof);
    EXPECT_EQ(read(), "");
    EXPECT_EQ(ec, asio::error::eof) << "again, as often as it is asked";
}

TEST_F(proxy_tcp_socket, who_reads_on_and_on_lets_others_have_their_turn) {
    say(std::string(1000, 'x'));
    wait();
    int in_a_row = 0;
    while (read(1) == "x")
        ++in_a_row;
    EXPECT_EQ(ec, asio::error::would_block);
    EXPECT_GT(in_a_row, 1);
    EXPECT_LT(in_a_row, 100);
    wait();
    EXPECT_EQ(read(1), "x");
}

TEST_F(proxy_tcp_socket, room_to_write_is_told_when_there_is_some_again) {
    std::string const much(1 << 16, 'x');
    asio::const_buffer const bytes{much.data(), much.size()};
    while (!ec)
        made->write_some({&bytes, 1}, ec);
    EXPECT_EQ(ec, asio::error::would_block);
    bool ended = false;
    made->async_wait(tcp_socket::wait_write, [&](error_code) { ended = true; });
    io.restart();
    io.poll();
    EXPECT_FALSE(ended);
    std::string into(1 << 20, '\0');
    while (::recv(other, into.data(), into.size(), 0) > 0) {
    }
    io.run();
    EXPECT_TRUE(ended);
    EXPECT_GT(made->write_some({&bytes, 1}, ec), 0U);
    hang_up();
    EXPECT_EQ(made->write_some({&bytes, 1}, ec), 0U);
    EXPECT_EQ(ec, asio::error::broken_pipe);
}

TEST_F(proxy_tcp_socket, cancelling_and_closing_end_waits_later) {
    std::vector<error_code> ended;
    auto const wait_twice = [&] {
        made->async_wait(tcp_socket::wait_read, [&](error_code how) { ended.push_back(how); });
        made->async_wait(tcp_socket::wait_read, [&](error_code how) { ended.push_back(how); });
    };
    wait_twice();
    made->cancel();
    wait_twice();
    made->close();
    made->close();
    EXPECT_TRUE(ended.empty());
    io.run();
    EXPECT_EQ(ended, std::vector<error_code>(4, asio::error::operation_aborted));
    EXPECT_EQ(read(), "");
    EXPECT_EQ(ec, asio::error::bad_descriptor);
}

TEST_F(proxy_tcp_socket, one_that_is_destroyed_by_what_is_told_before_is_not_told) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    auto second = std::make_unique<tcp_socket>(sockets, ends[0]);
    std::vector<error_code> ended;
    made->async_wait(tcp_socket::wait_read, [&](error_code) { second.reset(); });
    second->async_wait(tcp_socket::wait_read, [&](error_code how) { ended.push_back(how); });
    say("first");
    ASSERT_EQ(::send(ends[1], "x", 1, MSG_NOSIGNAL), 1);
    io.run();
    EXPECT_EQ(ended, std::vector<error_code>{asio::error::operation_aborted});
    ::close(ends[1]);
}

TEST_F(proxy_tcp_socket, a_copy_in_another_process_does_not_bring_it_back) {
    int hold[2];
    ASSERT_EQ(::pipe2(hold, O_CLOEXEC), 0);
    auto const child = ::fork(); // which has a copy of both ends
    if (child == 0) {
        ::close(hold[1]);
        char byte = 0;
        ::_exit(::read(hold[0], &byte, 1) == 0 ? 0 : 1);
    }
    made.reset();
    say("nobody reads this");
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    made.emplace(sockets, ends[0]);
    ASSERT_EQ(::send(ends[1], "x", 1, MSG_NOSIGNAL), 1);
    wait();
    EXPECT_EQ(read(), "x");
    ::close(hold[1]);
    ::close(hold[0]);
    int status = 1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    ::close(ends[1]);
}

TEST_F(proxy_tcp_socket, what_still_waits_when_the_loop_has_ended_is_destroyed_uncalled) {
    auto const alive = std::make_shared<int>(0);
    made->async_wait(tcp_socket::wait_read, [alive](error_code) { ADD_FAILURE(); });
    EXPECT_EQ(alive.use_count(), 2);
    sockets.stop();
    EXPECT_EQ(alive.use_count(), 1);
}

TEST_F(proxy_tcp_socket, connects_or_says_why_not) {
    asio::ip::tcp::acceptor listening(io, {asio::ip::address_v4::loopback(), 0});
    auto const to = listening.local_endpoint();
    auto const connect = [&] {
        std::optional<error_code> ended;
        asio::co_spawn(io, made->connect(to), [&](std::exception_ptr const&, error_code how) { ended = how; });
        io.restart();
        io.run();
        return ended.value_or(asio::error::timed_out);
    };
    EXPECT_EQ(connect(), error_code{});
    EXPECT_TRUE(made->is_open());
    listening.close();
    EXPECT_EQ(connect(), asio::error::connection_refused);
}

} // namespace
} // namespace weir::proxy
